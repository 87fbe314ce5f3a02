"""How good the summaries are: fixed rows, measures, systems to compare, one report.

rows.py           one evaluation row, and how it is read from JSONL
splits.py         which rows are for evaluation only; their ids are frozen in splits/
contamination.py  does a training text contain, or come from, an evaluation row
metrics.py        ROUGE, answer containment, length, copied share, bootstrap intervals
semantic.py       sentence embeddings (an optional package)
baselines.py      lead, BM25, embedding and oracle sentences
systems.py        what can be evaluated; generative.py: the model itself
config.py, run.py EvaluationConfig and run_evaluation, which is `qdts eval`
report.py         the scores of a run; tables.py and plot.py show them, bootstrap.py gives their intervals
card.py           what a manifest says of these scores, and does it hold; check_table.py shows it
before_after.py   two evaluations side by side
environment.py    machine, versions and commit of a run
samples.py        the small set that ships in samples/ with attribution, or a user's own file

Knows nothing of training: training imports the split from here, never the reverse.
"""
