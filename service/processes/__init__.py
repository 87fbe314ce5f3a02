"""One server as several processes: a supervisor, engine processes that hold the model, and fronts that take the calls.

config.py          how many of each, and where they meet
supervisor.py      what `qdts serve` runs then: starts all, passes signals on, answers the operators
engines.py         the engine processes, generation after generation
fronts.py          the front processes: their settings, their renewal
place.py           one process that should always be there: started, looked after, started again
child.py           one process: told its settings, awaited, ended
front_process.py   the program of a front
probe.py           what an operators' port on this machine says
merged_metrics.py  the samples of all processes as one list
directory.py       the private directory in which processes find each other
port.py            a port that is kept for the fronts
"""
