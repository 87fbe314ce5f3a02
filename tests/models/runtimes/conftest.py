"""Every runtime on the tiny model, and documents of uneven length.

TensorRT runs here without a GPU: of the library only the builder, which returns the ONNX graph as the plan, and the
execution, which hands the memory it is pointed to ONNX Runtime, are replaced. All else is what runs on a GPU.
"""

import ctypes
import math
import shutil
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from qdts.models.export.config import EnginesConfig, EngineShapes
from qdts.models.export.engines import build_engines
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Floats, Ids, Runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.tensorrt.engines import Target
from qdts.models.runtimes.tensorrt.library import Library, load_library
from qdts.models.runtimes.tensorrt.runtime import Engines, TensorRtRuntime

KINDS: dict[str, tuple[str, Literal["fp32", "int8", "fp16"]]] = {
    "eager": ("eager", "fp32"),
    "onnx-fp32": ("onnx", "fp32"),
    "onnx-int8": ("onnx", "int8"),
    "tensorrt-fp32": ("tensorrt", "fp32"),
    "tensorrt-fp16": ("tensorrt", "fp16"),
}
CAPABILITY = "8.9"
SHAPES = EngineShapes(max_batch=4, max_document=256, max_step=256, max_slots=512)
# ONNX's types: what the library calls them, what ONNX Runtime and numpy do.
TYPES = {1: "FLOAT", 7: "INT64", 9: "BOOL", 10: "HALF", 16: "BF16"}
DTYPES: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1


class Logger:
    Severity = Severity


class Network:
    """Inputs and outputs of the graph that was parsed into it."""

    def __init__(self) -> None:
        self.model: Any = None

    def parse(self, data: bytes) -> bool:
        self.model = onnx.load_from_string(data)
        self.num_inputs, self.num_outputs = len(self.model.graph.input), len(self.model.graph.output)
        return True

    def get_input(self, index: int) -> Any:
        return self._tensor(self.model.graph.input[index])

    def get_output(self, index: int) -> Any:
        return self._tensor(self.model.graph.output[index])

    def _tensor(self, tensor: Any) -> Any:
        kind = tensor.type.tensor_type
        shape = [-1 if axis.dim_param else axis.dim_value for axis in kind.shape.dim]
        return SimpleNamespace(name=tensor.name, shape=shape, dtype=SimpleNamespace(name=TYPES[kind.elem_type]))


class BuilderConfig:
    """Which GPU was asked for, and whether TF32 was allowed."""

    num_compute_capabilities = 0

    def __init__(self) -> None:
        self.cleared: list[str] = []
        self.capability = ""

    def clear_flag(self, flag: str) -> None:
        self.cleared.append(flag)

    def set_compute_capability(self, capability: str, index: int) -> bool:
        assert index < self.num_compute_capabilities
        self.capability = capability
        return True

    def add_optimization_profile(self, profile: Any) -> int:
        return 0


class Builder:
    """A plan is the graph."""

    def __init__(self, logger: Any) -> None: ...

    def create_network(self, flags: int) -> Network:
        assert flags == 1
        return Network()

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def create_optimization_profile(self) -> Any:
        return SimpleNamespace(set_shape=lambda *shapes: None)

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> bytes | None:
        return network.model.SerializeToString() if config.capability == "SM89" else None


class Context:
    """An execution context: shapes and addresses in, then ONNX Runtime on what lies there."""

    def __init__(self, data: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._inputs = {node.name: node for node in self._session.get_inputs()}
        self._outputs = {node.name: node for node in self._session.get_outputs()}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return name in self._inputs

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        free: dict[str, int] = {}
        for each, node in self._inputs.items():
            sizes = zip(node.shape, self._shapes[each], strict=True)
            for axis, size in ((axis, size) for axis, size in sizes if isinstance(axis, str)):
                assert free.setdefault(axis, size) == size, f"{each} has another {axis} than the inputs before"
        return tuple(free[axis] if isinstance(axis, str) else axis for axis in self._outputs[name].shape)

    def execute_async_v3(self, stream: int) -> bool:
        feeds = {name: self._at(name, node, self._shapes[name]) for name, node in self._inputs.items()}
        for (name, node), values in zip(self._outputs.items(), self._session.run(None, feeds), strict=True):
            self._at(name, node, self.get_tensor_shape(name))[...] = values
        return True

    def _at(self, name: str, node: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        dtype = np.dtype(DTYPES[node.type])
        memory = (ctypes.c_char * (dtype.itemsize * math.prod(shape))).from_address(self._addresses[name])
        return np.frombuffer(cast(Any, memory), dtype).reshape(shape)


class Engine:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def create_runtime_config(self) -> Any:
        return SimpleNamespace()

    def create_execution_context(self, config: Any) -> Context:
        assert config.cuda_graph_strategy == "whole graph"
        return Context(self._data)


class Opener:
    """The library's Runtime. `opened` counts the plans it was given."""

    opened = 0

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
        Opener.opened += 1
        if data.startswith(b"not an engine"):
            self._logger.log(Severity.ERROR, "the magic number is wrong")
            return None
        return Engine(data)


STAND_IN = SimpleNamespace(
    __version__="1.7.1",
    ILogger=Logger,
    Builder=Builder,
    OnnxParser=lambda network, logger: network,
    Runtime=Opener,
    NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=0),
    BuilderFlag=SimpleNamespace(TF32="TF32"),
    ComputeCapability=SimpleNamespace(__members__={"NONE": 0, "SM89": 1, "SM120": 2}, SM89="SM89", SM120="SM120"),
    CudaGraphStrategy=SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole graph"),
)


@pytest.fixture
def library() -> Library:
    return Library(name="tensorrt_rtx", version="1.7.1", module=STAND_IN)


@pytest.fixture
def target() -> Target:
    return make_target("fp32")


@pytest.fixture
def engines_dir(model_dir: Path, load: Callable[[str], Runtime], tmp_path: Path) -> Path:
    """A model directory of one's own, with fp32 graphs and engines built from them."""
    load("tensorrt-fp32")
    for part in ("onnx/fp32", f"engines/tensorrt_rtx-{CAPABILITY}-fp32"):
        shutil.copytree(model_dir / part, tmp_path / part)
    return tmp_path


@pytest.fixture
def num_opened() -> Callable[[], int]:
    """How many plans the library was given."""
    return lambda: Opener.opened


def make_target(precision: str) -> Target:
    return Target(library="tensorrt_rtx", version="1.7.1", compute_capability=CAPABILITY, precision=precision)


def load_tensorrt(model: Path, precision: str) -> TensorRtRuntime:
    """Build the engines where there are none, and load them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorrt_rtx", cast(Any, STAND_IN))
        if not (model / "engines" / f"tensorrt_rtx-{CAPABILITY}-{precision}").is_dir():
            library, precisions = "tensorrt_rtx", (precision,)
            config = EnginesConfig(
                model=model, library=library, capabilities=(CAPABILITY,), precisions=precisions, shapes=SHAPES
            )
            build_engines(config)
        device = torch.device("cpu")
        engines = Engines.load(model, load_library(("tensorrt_rtx",)), make_target(precision), device)
        # So few tokens at once that documents are encoded in several groups
        return TensorRtRuntime(engines, device, max_tokens=512)


@pytest.fixture(scope="session")
def load(model_dir: Path) -> Callable[[str], Runtime]:
    """The runtime of a kind; loaded once per model directory."""
    loaded: dict[str, Runtime] = {}

    def of(kind: str) -> Runtime:
        if kind not in loaded:
            name, precision = KINDS[kind]
            if name == "tensorrt":
                loaded[kind] = load_tensorrt(model_dir, precision)
            else:
                loaded[kind] = load_runtime(name, model_dir, RuntimeConfig(precision=precision, num_threads=1))
        return loaded[kind]

    return of


# What the types change is tested by agreement.
@pytest.fixture(params=[kind for kind in KINDS if kind != "tensorrt-fp16"])
def runtime(request: pytest.FixtureRequest, load: Callable[[str], Runtime]) -> Runtime:
    return load(request.param)


@pytest.fixture
def documents() -> list[Ids]:
    random = np.random.default_rng(1)
    return [random.integers(2, 128, length) for length in (150, 40, 1)]


@pytest.fixture
def features(documents: list[Ids]) -> list[Floats | None]:
    random = np.random.default_rng(2)
    return [random.random((150, 4), np.float32), None, random.random((1, 4), np.float32)]
