"""Which shape, which objective, which aids: small nets trained alike but for one thing (bench_ablation.py).

variants.py  what differs, as data
nets.py      nets of equal size, started alike
data.py      tokenizers, lexicons, training examples and held-out prompts, made once and kept
trial.py     one variant with one seed: train, answer held-out rows, count
table.py     all trials as a table and a picture
shapes.py    FLOPs and bytes of the full-size shapes, from arithmetic alone
"""
