"""A server whose model's times are known beforehand, and what it did for whom.

costs.py        what encoding and a step take; the capacity that follows
summarizer.py   a summariser that takes these times and writes the document's first sentence
journal.py      around any summariser: which step was for which request
fleet.py        a server of several processes, with the real model or an instant one
instant_front.py, instant_engine.py   the processes of the latter
server.py       the whole server around it, in a process of its own: `python loadtest/simulation/server.py --port 50051`
"""
