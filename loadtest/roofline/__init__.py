"""How near a request is to what this CPU can do: operations and bytes beside measured time.

counting.py   operations and bytes of each phase, from the net's shape
peaks.py      what this machine does at most: 8-bit and fp32 products, reading from its cache and its memory
phases.py     the phases of a request, counted and timed
report.py     as a table and a picture
"""
