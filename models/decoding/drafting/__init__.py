"""Guesses at the next tokens. A drafter changes the number of steps and nothing else: what is written stays the same.

base.py               what a drafter is, and the one that guesses nothing
draft.py              a draft: a tree of tokens
pieces.py             the copy constraint's own: what is left of a sentence; the likeliest first one
copying.py            what followed the last tokens where they stood before (suffix_automaton.py)
trie.py               what earlier outputs went on with
jacobi.py             n-grams that the net writes beside the output
combined.py           several in one tree
"""
