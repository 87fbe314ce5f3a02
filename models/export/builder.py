"""One ONNX graph -> one TensorRT plan, for one kind of GPU. The only caller of the library at build time.

The network is strongly typed: its types are the graph's. With `tensorrt` the GPU is this machine's; `tensorrt_rtx`
builds without one, for the compute capabilities it lists, and has no use for a timing cache.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdts.errors import Unsupported
from qdts.models.runtimes.tensorrt.library import Library, last_words, make_logger
from qdts.models.runtimes.tensorrt.plan import Range, Shape, TensorInfo

# What the library calls types, and what numpy and torch do.
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT64": "int64", "BOOL": "bool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A plan and the network's inputs and outputs."""

    data: bytes
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to build: a serialised graph, made from `source`, for a compute capability; `profile` by input."""

    source: Path
    graph: bytes
    compute_capability: str
    profile: Mapping[str, Range]
    uses_tf32: bool
    timing_cache: Path | None = None


class PlanBuilder:
    """Builds plans with one library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._trt = library.module
        self._logger, self._errors = make_logger(library)

    def check_capability(self, wanted: str, current: str | None) -> None:
        """Unsupported unless the library builds for this compute capability here; `current` is this machine's GPU's."""
        if not self._library.is_rtx:
            if wanted != current:
                raise Unsupported(
                    f"tensorrt builds for the GPU of the machine it runs on, {current or 'and here is none'}: for"
                    f" {wanted} run it there, or take tensorrt_rtx (pip install tensorrt-rtx)"
                )
        elif wanted not in (listed := self.listed_capabilities()):
            raise Unsupported(
                f"tensorrt_rtx {self._library.version} does not build for compute capability {wanted}; it lists"
                f" {', '.join(listed)}. Build for one of these and name {wanted} in try_on,"
                " or take tensorrt on a machine with that GPU"
            )

    def listed_capabilities(self) -> list[str]:
        """What tensorrt_rtx builds for: SM89 is 8.9, SM120 is 12.0."""
        names = [name for name in self._trt.ComputeCapability.__members__ if name.startswith("SM")]
        return [f"{name[2:-1]}.{name[-1]}" for name in names]

    def build(self, job: Job) -> Built:
        """Parse, set the profile, build. Unsupported, with the library's words, where it does not."""
        builder = self._trt.Builder(self._logger)
        strongly_typed = 1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(strongly_typed)
        parser = self._trt.OnnxParser(network, self._logger)
        if not parser.parse(job.graph):
            faults = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            raise Unsupported(f"{self._library.name} cannot read the graph: {'; '.join(faults)}")
        config = self._configure(builder, job)
        config.add_optimization_profile(self._profile(builder, job))
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise Unsupported(
                f"{self._library.name} {self._library.version} does not build the graph for"
                f" {job.compute_capability}: {last_words(self._errors)}"
            )
        self._save_timings(config, job)
        inputs = (network.get_input(index) for index in range(network.num_inputs))
        outputs = (network.get_output(index) for index in range(network.num_outputs))
        return Built(data=bytes(plan), inputs=tuple(_infos(inputs)), outputs=tuple(_infos(outputs)))

    def _configure(self, builder: Any, job: Job) -> Any:
        config = builder.create_builder_config()
        if not job.uses_tf32:
            config.clear_flag(self._trt.BuilderFlag.TF32)
        if self._library.is_rtx:
            config.num_compute_capabilities = 1
            wanted = getattr(self._trt.ComputeCapability, f"SM{job.compute_capability.replace('.', '')}")
            config.set_compute_capability(wanted, 0)
        elif job.timing_cache is not None:
            known = job.timing_cache.read_bytes() if job.timing_cache.is_file() else b""
            config.set_timing_cache(config.create_timing_cache(known), False)
        return config

    def _profile(self, builder: Any, job: Job) -> Any:
        profile = builder.create_optimization_profile()
        for name, found in job.profile.items():
            profile.set_shape(name, found.least, found.usual, found.most)
        return profile

    def _save_timings(self, config: Any, job: Job) -> None:
        if not self._library.is_rtx and job.timing_cache is not None:
            job.timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))


def _infos(tensors: Iterator[Any]) -> Iterator[TensorInfo]:
    for tensor in tensors:
        shape: Shape = tuple(int(size) for size in tensor.shape)
        yield TensorInfo(name=tensor.name, dtype=_DTYPES[tensor.dtype.name], shape=shape)
