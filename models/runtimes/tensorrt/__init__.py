"""TensorRT on a GPU: plan files are checked, then run behind the protocol of runtimes/base.py.

library.py    the library: `tensorrt`, or its twin in interface `tensorrt_rtx`
plan.py       what stands beside a plan file: hash, library, GPU, profile
engines.py    which plans run here, and that they are what was built: checked before anything is deserialised
execution.py  a plan, loaded: tensors in, tensors out
contexts.py   its execution contexts, one for each CUDA graph
buckets.py    the few shapes that batches are padded to
slots.py      the decoder's keys and values on the device
batch.py      sequences in flight
runtime.py    the runtime

What builds the plans: models/export/engines.py. Nothing here is imported before this runtime is asked for.
"""
