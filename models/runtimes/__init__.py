"""What executes a forward pass, behind one protocol. Nothing heavy is imported before it is asked for.

base.py          the protocol: Runtime, Batch, States
config.py        RuntimeConfig
eager.py         torch, the oracle
decoder_only.py  the decoder-only baseline, for comparison
onnx_runtime.py  ONNX Runtime: graph.py, embedding.py, onnx_batch.py
tensorrt/        plan files on a GPU
cuda/            torch with Triton kernels and CUDA graphs
step_graphs.py   work recorded as CUDA graphs, shared by those two
batching.py      padding, and the layout of a step's tokens, shared
choice.py        the choice after a token, greedy or sampled, shared
tensor_cache.py  keys and values in torch, shared
row_arrays.py    arrays of rows that come and go, in numpy; slots.py, keys and values in them
environment.py   is the installed ONNX Runtime intact?
cpu.py           does this CPU sum 8-bit products exactly?; quantization.py: what int8 graphs need of it
"""

import importlib
from pathlib import Path
from typing import Any, cast

from qdts.errors import Unsupported
from qdts.models.runtimes.base import Runtime
from qdts.models.runtimes.config import RuntimeConfig

_CLASSES = {
    "eager": ("qdts.models.runtimes.eager", "EagerRuntime"),
    "onnx": ("qdts.models.runtimes.onnx_runtime", "OnnxRuntime"),
    "cuda": ("qdts.models.runtimes.cuda.runtime", "CudaRuntime"),
    "tensorrt": ("qdts.models.runtimes.tensorrt.runtime", "TensorRtRuntime"),
}


def load_runtime(name: str, directory: Path, config: RuntimeConfig) -> Runtime:
    """The runtime of that name on a model directory, which the caller has verified (models/manifest.py)."""
    if name not in _CLASSES:
        raise Unsupported(f"runtime {name!r} is unknown; known: {', '.join(_CLASSES)}")
    module, attribute = _CLASSES[name]
    factory: Any = getattr(importlib.import_module(module), attribute)
    return cast(Runtime, factory.load(directory, config))
