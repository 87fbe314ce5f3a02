"""Tensors in, tensors out: one operation per file, knows nothing of models or requests.

The list of operations is empty so far: the shipped model runs on ONNX Runtime's own kernels. The first entry brings
`reference.py`, the specification in plain PyTorch that every implementation is tested against.
"""
