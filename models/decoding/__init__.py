"""Which token comes next: token ids in, token ids out, over any runtime (`runtimes/base.py` is all it sees).

base.py         what a constraint on the output is, and the one that permits everything
copying.py      the copy constraint: the decoder may write only what stands in the document
greedy.py       draft -> verify -> accept -> trim; sequences join and leave
drafting/       guesses at the next tokens
costs.py        what a step costs on this machine
gate.py         how much of a draft is worth that
tracker.py      how drafts turned out, those held back included
"""
