"""One server in several processes: fronts take calls, engines run the model, a Unix socket between them.

config.py          how many there are
addresses.py       where they meet: names of sockets and boards, the newest generation
share.py           an engine's part of the machine
frames.py          bytes on a socket, cut into frames; whose process a peer is
messages.py        what stands in the frames
board.py           how busy an engine is, in memory that fronts read
handover.py        settings from a process to those that it starts
engine_process.py  the process that runs the model; engine_host.py, its parts; fronts_door.py, its side of connections
remote_engine.py   an engine as a front sees it; link.py, its connection; engine_pool.py, several as one
reader.py          the half of a model that a front needs
connect.py         a front's generator: the newest engines
"""
