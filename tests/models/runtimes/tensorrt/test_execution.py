"""Plain tensorrt's steps are recorded as CUDA graphs, each from a context of its own; tensorrt_rtx does that itself.

The library is the one of conftest.py with the parts of `tensorrt` that differ, and strict about contexts: one that was
opened to be recorded may not be changed once it has run. Graphs are replaced by the work that was recorded.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from qdts.models.runtimes.base import Floats, Ids, Runtime
from qdts.models.runtimes.embedding import Embedding
from qdts.models.runtimes.tensorrt.engines import Target, load_plans
from qdts.models.runtimes.tensorrt.execution import Execution
from qdts.models.runtimes.tensorrt.library import Library
from qdts.models.runtimes.tensorrt.runtime import Engines, TensorRtRuntime

SCRATCH_BYTES = 4096


class OwnContext:
    """Memory first, then shapes and addresses, then runs, and nothing else."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.memory: tuple[int, int] | None = None
        self.num_runs = 0

    def set_device_memory(self, address: int, size: int) -> None:
        assert self.memory is None
        self.memory = (address, size)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert not self.num_runs, "a graph was recorded from this context"
        return self._context.set_input_shape(name, shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert not self.num_runs, "a graph was recorded from this context"
        return self._context.set_tensor_address(name, address)

    def execute_async_v3(self, stream: int) -> bool:
        assert self.memory is not None and self.memory[1] == SCRATCH_BYTES
        self.num_runs += 1
        return self._context.execute_async_v3(stream)


class PlainEngine:
    device_memory_size_v2 = SCRATCH_BYTES

    def __init__(self, engine: Any) -> None:
        self._open = lambda: engine.create_execution_context(SimpleNamespace(cuda_graph_strategy="whole graph"))
        self.own: list[OwnContext] = []

    def create_execution_context(self, strategy: str = "static") -> Any:
        if strategy == "static":
            return self._open()
        assert strategy == "user managed"
        self.own.append(OwnContext(self._open()))
        return self.own[-1]


@pytest.fixture
def engines_made() -> list[PlainEngine]:
    return []


@pytest.fixture
def plain(library: Library, engines_made: list[PlainEngine]) -> Library:
    """`tensorrt` instead of its twin."""

    class Opener(library.module.Runtime):
        def deserialize_cuda_engine(self, data: bytes) -> PlainEngine:
            engines_made.append(PlainEngine(super().deserialize_cuda_engine(data)))
            return engines_made[-1]

    strategies = SimpleNamespace(USER_MANAGED="user managed")
    members = vars(library.module) | {"Runtime": Opener, "ExecutionContextAllocationStrategy": strategies}
    return Library(name="tensorrt", version=library.version, module=SimpleNamespace(**members))


@pytest.fixture
def open_step(plain: Library, engines_dir: Path, target: Target) -> Callable[[], Execution]:
    def make() -> Execution:
        plan = load_plans(engines_dir, target)[1]["encoder"]
        return Execution(plain, plan, torch.device("cpu"), reuses_outputs=True, capture=lambda work: work)

    return make


@pytest.fixture
def recording(plain: Library, engines_dir: Path, target: Target) -> tuple[TensorRtRuntime, Engines]:
    """The runtime, all of its engines told to record."""
    directory, plans = load_plans(engines_dir, target)
    cpu = torch.device("cpu")
    step = Execution(plain, plans["step"], cpu, reuses_outputs=True, capture=lambda work: work)
    encoder, start = (Execution(plain, plans[name], cpu, capture=lambda work: work) for name in ("encoder", "start"))
    engines = Engines(encoder=encoder, start=start, step=step, embedding=Embedding.load(directory))
    return TensorRtRuntime(engines, cpu, max_tokens=512), engines


def decode(runtime: Runtime, documents: list[Ids], features: list[Floats | None]) -> list[list[int]]:
    """Forty tokens of each, every other step with one that is read and not kept."""
    batch = runtime.start(runtime.encode(documents), features)
    tokens, found = np.zeros(3, np.int64), list[list[int]]()
    for index in range(40):
        drafted = np.stack([tokens, tokens + 1], axis=1) if index % 2 else tokens[:, None]
        chosen = runtime.step(batch, drafted, np.full(3, drafted.shape[1]))
        runtime.keep(batch, [np.arange(1)] * 3)
        tokens = chosen[:, 0]
        found.append(tokens.tolist())
    return found


def test_the_tokens_are_those_without_graphs(
    recording: tuple[TensorRtRuntime, Engines],
    load: Callable[[str], Runtime],
    documents: list[Ids],
    features: list[Floats | None],
    engines_made: list[PlainEngine],
) -> None:
    runtime, engines = recording
    expected = decode(load("onnx-fp32"), documents, features)
    for _ in range(2):
        assert decode(runtime, documents, features) == expected
    assert engines.step.graphs.num_replayed > 20
    assert engines.encoder.graphs.num_captured == engines.start.graphs.num_captured == 0
    own = engines_made[0].own
    assert len(own) == engines.step.graphs.num_captured
    assert len({context.memory for context in own}) == 1


def run(execution: Execution, value: float, rows: int = 1) -> torch.Tensor:
    mask = torch.ones(rows, 64, dtype=torch.bool)
    return execution.run({"embedded": torch.full((rows, 64, 32), value), "mask": mask})["hidden"].clone()


def test_a_graph_reads_what_was_staged_for_it(open_step: Callable[[], Execution]) -> None:
    recorded, plain = open_step(), open_step()
    plain.graphs.enabled = False
    for value in (1.0, 2.0, 3.0, 4.0):
        for rows in (1, 3):
            assert torch.equal(run(recorded, value, rows), run(plain, value, rows))
    assert (recorded.graphs.num_captured, recorded.graphs.num_replayed) == (2, 4)
    assert plain.graphs.num_captured == 0


def test_other_addresses_are_another_graph(open_step: Callable[[], Execution]) -> None:
    execution, mask = open_step(), torch.ones(1, 64, dtype=torch.bool)
    held = [torch.full((1, 64, 32), value) for value in (1.0, 2.0)]
    found = [execution.run({"mask": mask}, {"embedded": each})["hidden"].clone() for each in held * 3]
    assert execution.graphs.num_captured == 2
    assert torch.equal(found[0], found[4]) and torch.equal(found[1], found[5])
    assert not torch.equal(found[0], found[1])


def test_tensorrt_rtx_is_left_to_its_own_graphs(library: Library, engines_dir: Path, target: Target) -> None:
    plan = load_plans(engines_dir, target)[1]["encoder"]
    execution = Execution(library, plan, torch.device("cpu"), reuses_outputs=True, capture=lambda work: work)
    for value in (1.0, 2.0, 3.0):
        run(execution, value)
    assert execution.graphs.num_captured == 0
