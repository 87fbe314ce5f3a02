"""A plan, loaded: tensors in, tensors out. The only caller of the library at run time; knows not what is computed.

Everything happens on torch's current stream, which must not be the default one where there is a GPU.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from qdts.errors import Unsupported
from qdts.models.runtimes.step_graphs import Capture, CudaCapture, StepGraphs, Work
from qdts.models.runtimes.tensorrt.contexts import bind, open_context, open_own_context
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

Shapes = tuple[tuple[str, Shape], ...]


class Execution:
    """One engine and its context. Inputs lie in buffers of its own, or where the caller holds them (`held`).

    With `reuses_outputs` the outputs of one shape are the same memory at each run: to be read before the next one. What
    is run so again at the same addresses is recorded as a CUDA graph; tensorrt_rtx does that by itself.
    """

    def __init__(
        self,
        library: Library,
        plan: Plan,
        device: torch.device,
        *,
        reuses_outputs: bool = False,
        capture: Capture | None = None,
    ) -> None:
        self.info = plan.info
        self._library = library
        self._device = device
        self._reuses_outputs = reuses_outputs
        self._buffers: dict[tuple[str, Shape], Tensor] = {}
        self._output_shapes: dict[Shapes, dict[str, Shape]] = {}
        # The library refers to what it was given, so all of it is kept.
        self._logger, self._errors = make_logger(library)
        self._runtime = library.module.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan.data)
        if self._engine is None:
            raise Unsupported(f"{library.name} {library.version} refuses an engine: {last_words(self._errors)}")
        self._context, self._config = open_context(library, self._engine)
        self._scratch: Tensor | None = None
        if capture is None and device.type == "cuda":
            capture = CudaCapture(device)
        self.graphs = StepGraphs(capture if reuses_outputs and not library.is_rtx else None)

    def run(self, inputs: Mapping[str, Tensor], held: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Outputs by name. `inputs` are copied into buffers that stay where they are; `held` are read in place."""
        given = {name: self._stage(name, tensor) for name, tensor in inputs.items()} | dict(held or {})
        for name, tensor in given.items():
            self._check_input(name, tensor)
        outputs = self._open_outputs(given)
        # Of the inputs the addresses alone: what a caller held may be gone, and other tensors in its place.
        addresses = tuple((name, tuple(tensor.shape), tensor.data_ptr()) for name, tensor in given.items())
        self.graphs.run(addresses, partial(self._bind_and_run, given, outputs), partial(self._isolate, given, outputs))
        return outputs

    def _stage(self, name: str, tensor: Tensor) -> Tensor:
        return self._buffer(self.info.input(name), tuple(tensor.shape)).copy_(tensor)

    def _check_input(self, name: str, tensor: Tensor) -> None:
        expected = _DTYPES[self.info.input(name).dtype]
        assert tensor.dtype == expected and tensor.is_contiguous(), f"{name}: {tensor.dtype}, not {expected}, or a view"
        shape = tuple(tensor.shape)
        if not any(profile[name].admits(shape) for profile in self.info.profiles):
            raise Unsupported(
                f"{name} of shape {list(shape)} lies outside of what the engine was built for, at most"
                f" {list(self.info.profiles[0][name].most)}: build engines with larger shapes"
            )

    def _open_outputs(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Memory for the outputs; their shapes follow from those of the inputs."""
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in given.items())
        if shapes not in self._output_shapes:
            for name, shape in shapes:
                self._context.set_input_shape(name, shape)
            found = {tensor.name: tuple(self._context.get_tensor_shape(tensor.name)) for tensor in self.info.outputs}
            self._output_shapes[shapes] = found
        make = self._buffer if self._reuses_outputs else self._allocate
        return {tensor.name: make(tensor, self._output_shapes[shapes][tensor.name]) for tensor in self.info.outputs}

    def _bind_and_run(self, given: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
        bind(self._context, given, outputs)
        self._enqueue(self._context)

    def _isolate(self, given: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Work:
        """The same work by a context that does nothing else: changing a context breaks the graphs recorded from it."""
        if self._scratch is None:
            # One for all: they run one after another.
            num_bytes = max(1, int(self._engine.device_memory_size_v2))
            self._scratch = torch.empty(num_bytes, dtype=torch.uint8, device=self._device)
        context = open_own_context(self._library, self._engine, self._scratch)
        bind(context, given, outputs)
        return partial(self._enqueue, context)

    def _enqueue(self, context: Any) -> None:
        stream = torch.cuda.current_stream(self._device).cuda_stream if self._device.type == "cuda" else 0
        if not context.execute_async_v3(stream):
            raise Unsupported(f"an engine did not run: {last_words(self._errors)}")

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
