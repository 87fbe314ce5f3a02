"""A server whose model's times are known beforehand, and what it did for whom.

costs.py        what encoding and a step take; the capacity that follows
summarizer.py   a summariser that takes these times and writes the document's first sentence
journal.py      around any summariser: which step was for which request
server.py       the whole server around it, in a process of its own: `python loadtest/simulation/server.py --port 50051`
"""
