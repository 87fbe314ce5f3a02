"""Which token comes next: token ids in, token ids out, over any runtime (`runtimes/base.py` is all it sees).

copying.py      the copy constraint: the decoder may write only what stands in the document
greedy.py       draft -> verify -> accept -> trim
"""
