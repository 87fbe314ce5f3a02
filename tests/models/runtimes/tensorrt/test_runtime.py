"""What the engines do not take is refused with its bound, and what the library refuses is passed on."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qdts.errors import Unsupported
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.tensorrt.engines import Plan, Target, load_plans
from qdts.models.runtimes.tensorrt.execution import Execution
from qdts.models.runtimes.tensorrt.library import Library
from qdts.models.runtimes.tensorrt.runtime import TensorRtRuntime, device_capability

DOCUMENT = np.arange(2, 12)


@pytest.fixture
def runtime(load: Callable[[str], Runtime]) -> Runtime:
    """Built for four rows, documents of 256 tokens, steps of 256, 512 slots."""
    return load("tensorrt-fp32")


def test_info_says_what_runs(runtime: Runtime) -> None:
    info = runtime.info
    assert (info.name, info.precision, info.device) == ("tensorrt", "fp32", "cpu")
    assert runtime.num_features == 4


def test_a_document_too_long_is_refused(runtime: Runtime) -> None:
    with pytest.raises(Unsupported, match="a document of 257 tokens: the engines were built for 256 at most"):
        runtime.encode([DOCUMENT, np.ones(257, np.int64)])


def test_too_many_rows_are_refused(runtime: Runtime) -> None:
    states = runtime.encode([DOCUMENT] * 5)
    with pytest.raises(Unsupported, match="5 sequences at once: the engines were built for 4 at most"):
        runtime.start(states, [None] * 5)


def test_no_more_join_than_there_are_rows(runtime: Runtime) -> None:
    states = runtime.encode([DOCUMENT] * 3)
    batch = runtime.start(states, [None] * 3)
    with pytest.raises(Unsupported, match="6 sequences at once: the engines were built for 4 at most"):
        runtime.join(batch, states, [None] * 3)
    runtime.join(batch, states[:1], [None])
    assert batch.lengths.tolist() == [0] * 4


def test_a_step_reads_what_is_in_use_where_it_lies(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that addresses stay the same for what was captured."""
    assert isinstance(runtime, TensorRtRuntime)
    seen: list[tuple[int, int]] = []
    run = runtime._engines.step.run

    def watched(inputs: Any, held: Any) -> Any:
        seen.append((len(held["mask"]), held[runtime._past_names[0]].data_ptr()))
        return run(inputs, held)

    monkeypatch.setattr(runtime._engines.step, "run", watched)
    states = runtime.encode([DOCUMENT] * 4)
    batch = runtime.start(states, [None] * 4)
    for leaving in ([], [0], [0, 1], []):
        runtime.leave(batch, np.array(leaving, np.int64))
        num_rows = len(batch.lengths)
        runtime.step(batch, np.zeros((num_rows, 1), np.int64), np.ones(num_rows, np.int64))
    runtime.join(batch, states[:1], [None])
    runtime.step(batch, np.zeros((2, 1), np.int64), np.ones(2, np.int64))
    assert [rows for rows, _ in seen] == [4, 4, 1, 1, 2]
    assert len({address for _, address in seen}) == 1


def test_more_documents_than_rows_are_encoded_in_turn(runtime: Runtime, load: Callable[[str], Runtime]) -> None:
    lengths = np.random.default_rng(4).integers(1, 256, 11)
    documents = [np.random.default_rng(seed).integers(2, 128, length) for seed, length in enumerate(lengths)]
    pairs = zip(runtime.encode(documents), load("onnx-fp32").encode(documents), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.hidden, theirs.hidden, rtol=1e-4, atol=1e-4)


def test_steps_too_wide_or_too_many_are_refused(runtime: Runtime) -> None:
    batch = runtime.start(runtime.encode([DOCUMENT]), [None])
    with pytest.raises(Unsupported, match="a step of 257 tokens: the engines were built for 256 at most"):
        runtime.step(batch, np.zeros((1, 257), np.int64), np.array([257]))
    runtime.step(batch, np.zeros((1, 256), np.int64), np.array([256]))
    with pytest.raises(Unsupported, match="512 tokens in a row: the engines were built for 511 at most"):
        runtime.step(batch, np.zeros((1, 256), np.int64), np.array([256]))
    assert batch.lengths.tolist() == [256]


def test_what_the_library_refuses_is_passed_on(engines_dir: Path, library: Library, target: Target) -> None:
    _, plans = load_plans(engines_dir, target)
    broken = Plan(plans["step"].info, b"not an engine")
    with pytest.raises(Unsupported, match=r"tensorrt_rtx 1\.7\.1 refuses an engine: .*the magic number is wrong"):
        Execution(library, broken, torch.device("cpu"))


def test_a_shape_outside_of_the_profile_is_named(engines_dir: Path, library: Library, target: Target) -> None:
    _, plans = load_plans(engines_dir, target)
    encoder = Execution(library, plans["encoder"], torch.device("cpu"))
    with pytest.raises(Unsupported, match=r"embedded of shape \[5, 64, 32\] .*at most \[4, 256, 32\]"):
        encoder.run({"embedded": torch.zeros(5, 64, 32), "mask": torch.ones(5, 64, dtype=torch.bool)})


def test_buffers_stay_where_they_are(engines_dir: Path, library: Library, target: Target) -> None:
    """So that what was captured for a shape can be run again."""
    _, plans = load_plans(engines_dir, target)
    encoder = Execution(library, plans["encoder"], torch.device("cpu"), reuses_outputs=True)
    mask = torch.ones(1, 64, dtype=torch.bool)
    first = encoder.run({"embedded": torch.zeros(1, 64, 32), "mask": mask})["hidden"]
    kept = first.clone()
    second = encoder.run({"embedded": torch.ones(1, 64, 32), "mask": mask})["hidden"]
    assert first.data_ptr() == second.data_ptr()
    assert not torch.equal(kept, second)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_said_so(model_dir: Path, monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", library.module)
    with pytest.raises(Unsupported, match="needs a GPU and a torch that sees it: take the runtime onnx on a CPU"):
        load_runtime("tensorrt", model_dir, RuntimeConfig(precision="fp16"))
    with pytest.raises(Unsupported, match="needs a GPU"):
        device_capability(torch.device("cpu"))
