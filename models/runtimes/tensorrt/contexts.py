"""Execution contexts of an engine: how they are opened, with CUDA graphs of the library's own or for ours."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from qdts.models.runtimes.tensorrt.library import Library


def open_context(library: Library, engine: Any) -> tuple[Any, Any]:
    """A context for any shapes, and its configuration, if there is one.

    tensorrt_rtx captures CUDA graphs by itself once it is told to, one for each set of shapes, and captures again where
    addresses have changed:
    https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/work-with-cuda-graphs.html
    """
    if not library.is_rtx:
        return engine.create_execution_context(), None
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = library.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    return engine.create_execution_context(config), config


def open_own_context(library: Library, engine: Any, scratch: Tensor) -> Any:
    """A context of `tensorrt` for one set of shapes and addresses, computing in memory that others use, too.

    A graph is valid as long as nothing about the context it was recorded from has changed, and what the library does
    once after a change of shapes must lie behind it (TensorRT's developer guide, on CUDA graphs and dynamic shapes).
    """
    context = engine.create_execution_context(library.module.ExecutionContextAllocationStrategy.USER_MANAGED)
    context.set_device_memory(scratch.data_ptr(), scratch.numel())
    return context


def bind(context: Any, given: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
    """Where the context reads and writes from now on."""
    for name, tensor in given.items():
        context.set_input_shape(name, tuple(tensor.shape))
    for name, tensor in {**given, **outputs}.items():
        context.set_tensor_address(name, tensor.data_ptr())
