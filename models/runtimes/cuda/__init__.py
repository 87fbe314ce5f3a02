"""torch with Triton kernels and CUDA graphs: the checkpoint itself on a GPU, no engines to build.

requirements.py  is Triton here?
shapes.py        how much is kept on the device, and the largest step
layers.py        T5's sublayers on the kernels of qdts.kernels
net.py           the network: weights on the device, encoder and decoder step
memory.py        rows of fixed place: the sequences' documents, keys and values
buffers.py       a program's inputs: one block of memory, one copy
programs.py      an encoding, a step, a choice: fixed buffers and what is computed from them
choosing.py      the choice after each token, on the device
states.py        encoded documents, on the device and on the host
batch.py         sequences in flight
runtime.py       the runtime

Nothing here is imported before this runtime is asked for. It has not run on a GPU yet: docs/gpu-status.md.
"""
