"""What drafts save, runtime by runtime, each in a process of its own.

drafters.py   which drafters are compared
documents.py  rows read once per runtime, their states on disk
passes.py     a batch written with each drafter in turn
figures.py    medians of ratios, and what is reported
worker.py     a process per runtime: what it is to do, what it tells
results.py    results of several runs as one
plot.py       the picture
"""
