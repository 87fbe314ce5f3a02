"""A plan, loaded: tensors in, tensors out. The only caller of the library at run time; knows not what is computed.

Everything happens on torch's current stream, which must not be the default one where there is a GPU.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.models.runtimes.tensorrt.engines import Plan
from qdts.models.runtimes.tensorrt.library import Library, last_words, make_logger
from qdts.models.runtimes.tensorrt.plan import Shape, TensorInfo

_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "bool": torch.bool,
}


class Execution:
    """One engine and its context. Inputs lie in buffers of its own, or where the caller holds them (`held`).

    With `reuses_outputs` the outputs of one shape are the same memory at each run: to be read before the next one.
    """

    def __init__(self, library: Library, plan: Plan, device: torch.device, *, reuses_outputs: bool = False) -> None:
        self.info = plan.info
        self._device = device
        self._reuses_outputs = reuses_outputs
        self._buffers: dict[tuple[str, Shape], Tensor] = {}
        # The library refers to what it was given, so all of it is kept.
        self._logger, self._errors = make_logger(library)
        self._runtime = library.module.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan.data)
        if self._engine is None:
            raise Unsupported(f"{library.name} {library.version} refuses an engine: {last_words(self._errors)}")
        self._context, self._config = _open_context(library, self._engine)

    def run(self, inputs: Mapping[str, Tensor], held: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Outputs by name. `inputs` are copied into buffers that stay where they are; `held` are read in place."""
        staged = {name: self._stage(name, tensor) for name, tensor in inputs.items()}
        for name, tensor in {**staged, **(held or {})}.items():
            self._bind_input(name, tensor)
        outputs = {tensor.name: self._bind_output(tensor) for tensor in self.info.outputs}
        stream = torch.cuda.current_stream(self._device).cuda_stream if self._device.type == "cuda" else 0
        if not self._context.execute_async_v3(stream):
            raise Unsupported(f"an engine did not run: {last_words(self._errors)}")
        return outputs

    def _stage(self, name: str, tensor: Tensor) -> Tensor:
        return self._buffer(self.info.input(name), tuple(tensor.shape)).copy_(tensor)

    def _bind_input(self, name: str, tensor: Tensor) -> None:
        expected = _DTYPES[self.info.input(name).dtype]
        assert tensor.dtype == expected and tensor.is_contiguous(), f"{name}: {tensor.dtype}, not {expected}, or a view"
        shape = tuple(tensor.shape)
        if not any(profile[name].admits(shape) for profile in self.info.profiles):
            raise Unsupported(
                f"{name} of shape {list(shape)} lies outside of what the engine was built for, at most"
                f" {list(self.info.profiles[0][name].most)}: build engines with larger shapes"
            )
        self._context.set_input_shape(name, shape)
        self._context.set_tensor_address(name, tensor.data_ptr())

    def _bind_output(self, tensor: TensorInfo) -> Tensor:
        shape = tuple(self._context.get_tensor_shape(tensor.name))
        output = self._buffer(tensor, shape) if self._reuses_outputs else self._allocate(tensor, shape)
        self._context.set_tensor_address(tensor.name, output.data_ptr())
        return output

    def _buffer(self, tensor: TensorInfo, shape: Shape) -> Tensor:
        key = (tensor.name, shape)
        if key not in self._buffers:
            self._buffers[key] = self._allocate(tensor, shape)
        return self._buffers[key]

    def _allocate(self, tensor: TensorInfo, shape: Shape) -> Tensor:
        return torch.empty(shape, dtype=_DTYPES[tensor.dtype], device=self._device)

    def dtype(self, name: str) -> torch.dtype:
        """The type of an input."""
        return _DTYPES[self.info.input(name).dtype]


def _open_context(library: Library, engine: Any) -> tuple[Any, Any]:
    """The context and its configuration, if there is one.

    tensorrt_rtx captures CUDA graphs by itself once it is told to, one for each set of shapes, and captures again where
    addresses have changed:
    https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/work-with-cuda-graphs.html
    """
    if not library.is_rtx:
        return engine.create_execution_context(), None
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = library.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    return engine.create_execution_context(config), config
