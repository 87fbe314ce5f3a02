"""Tensors in, tensors out: one operation per file, knows nothing of models or requests.

reference.py               what each operation computes, in plain PyTorch: the specification
attention.py               self-attention within documents laid end to end, with T5's position bias
decode_self_attention.py   a decoder step's tokens over their cache and one another, as a tree
decode_cross_attention.py  a decoder step's tokens over the document, kept as it is or as int8
project_argmax.py          output projection and argmax over the vocabulary, without writing scores
project_permitted.py       output projection and choice among permitted ids, END by its rule
rms_norm.py                residual addition and norm
feed_forward.py            gelu, gated and not
online_softmax.py          what the attention kernels share
plan.py, arguments.py      a prepared call; checks of what it is given
cost.py, examples.py       bytes and operations of a call; a call of each at the 0.1B net's sizes
ahead_of_time.py           compiling all of them for devices that are not here

Operations are written in Triton and need it as soon as their module is imported; this package, the specification and
the costs do not. They run on the GPU, or under TRITON_INTERPRET=1, set before the import, on a CPU: slowly, for tests.
"""
