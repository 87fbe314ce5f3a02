"""One server as several processes: fronts take the calls, engines run the model, a supervisor keeps them all.

config.py          how many there are
addresses.py       where they meet: names of sockets and boards, the newest generation
handover.py        settings from a process to those that it starts; orders.py, what it tells them later
supervisor.py      what `qdts serve` is then: starts all, passes signals on, answers the operators; port.py, its port;
                   directory.py, its private directory; merged_metrics.py, the samples of all
engines.py         the engine processes, generation after generation; share.py, an engine's part of the machine
fronts.py          the front processes: their settings, their renewal; front_status.py, what one says of itself
operated_fleet.py  what operators may do to all of them; fleet_status.py, the status of all as one
place.py           one process that should always be there; child.py, one that is; probe.py, how it is
front_process.py   the process that takes calls; leaving.py, how it goes without one that fails
engine_process.py  the process that runs the model; engine_host.py, its parts; fronts_door.py, its side of connections
frames.py          bytes on a socket, cut into frames; whose process a peer is; messages.py, what stands in them
board.py           how busy an engine is, in memory that fronts read
remote_engine.py   an engine as a front sees it; link.py, its connection; engine_pool.py, several as one
reader.py          the half of a model that a front needs
connect.py         a front's generator: the newest engines
"""
