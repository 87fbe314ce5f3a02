"""Text in, spans out: sentences, words, BM25, passages, extractive summaries. Plain Python, no model.

sentences.py    where sentences begin and end
words.py        words with their stems and places
bm25.py         how well each sentence matches a query
extractive.py   summaries made of whole sentences: the cheap rungs and the baselines
passages.py     what of a long document the model gets to read
"""
