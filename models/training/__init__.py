"""Data, training loop, checkpoints. Needs the [train] extra (torch).

stages.py      the stages by name, each a config and a function; config.py has what several of them share
run.py         one run: a net, a task, a model directory
loop.py        Trainer: steps, checkpoints, resuming; device.py, optimizers.py, muon.py, prefetch.py, meter.py, plot.py
task.py        the protocol between the loop and what is learned; mixture.py: several tasks as one
fit.py         supervised training on examples (fit, distil, sft)
pretrain.py    pretraining on prose: sequence.py with the objectives spans.py, prefix.py
examples.py    one example; dataset.py: many on disk and in batches; prepare.py, weak.py: where they come from
shards.py      raw prose as tokens on disk; corpus.py: raw prose; array_file.py: arrays written piece by piece
finetune.py    a user's rows to a model that serves; user_rows.py reads and parts them
tokenizer.py   training a tokenizer; lexicon.py: building a lexicon
"""
