"""Data, training loop, checkpoints. Needs the [train] extra (torch).

stages.py      the stages by name, each a config and a function; config.py has what several of them share
run.py         one run: a net, a task, a model directory
loop.py        Trainer: steps, checkpoints, resuming; device.py, optimizers.py, muon.py, prefetch.py, meter.py, plot.py
task.py        the protocol between the loop and what is learned; mixture.py: several tasks as one
fit.py         supervised training on examples (fit, distil, sft)
pretrain.py    pretraining on prose: sequence.py with the objectives spans.py, prefix.py; windows.py: what is read when
fold.py        a start from all-MiniLM-L6-v2 (minilm.py): fold_vocabulary.py, the stage fold_stage.py
features.py    distilling that one's states; the stage feature_stage.py
reading.py     what the decoder reads, features made of states included; similarity.py: their loss; similarity_task.py
reward.py      a summary's worth; wholeness.py: does it begin and end as a sentence does
teach.py       rows written anew by a teacher of teachers/
dpo.py         learning what the reward prefers, run by dpo_run.py: policy.py and sampling.py (the constrained policy),
               preference_rows.py, candidates.py, pairs.py, ragged.py (its data), held_out.py and dpo_report.py
average.py     the mean of several nets' weights
decoder_only.py   the task for the seed's shape, for comparison
data/          from files to examples; examples.py: one example; dataset.py: many on disk and in batches
shards.py      raw prose as tokens on disk; array_file.py: arrays written piece by piece
finetune.py    a user's rows to a model that serves; user_rows.py reads and parts them
tokenizer.py   training a tokenizer; lexicon.py: building a lexicon
"""
