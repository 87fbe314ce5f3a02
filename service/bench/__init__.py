"""Open-loop load on a running server: arrivals keep their own time, whatever the server does.

arrivals.py   when requests arrive: constant, Poisson or bursty, at a rate that changes by phases
workload.py   what arrives: documents and queries by Zipf's law, classes with priority and deadline
outcome.py    what became of one arrival
driver.py     sends each arrival at its time, over several connections; apart.py, in processes of its own
figures.py    goodput, percentiles, counts of a run
curve.py      runs at rising rates; the capacity they are multiples of
planner.py    how many instances a load needs, by a measured curve
report.py     curves as table, JSON, PNG and HTML
"""
