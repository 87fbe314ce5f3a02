"""The GPU benchmark without a GPU: its control flow on stand-ins, its bounds in time, and that it claims nothing."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qdts.errors import Unsupported
from qdts.loadtest import bench_gpu
from qdts.loadtest.bench_gpu import Clock, agrees, answer_for, main, run
from qdts.loadtest.gpu_subjects import NAMES, Open, Subject, build_apart, subjects
from qdts.models.evaluation.rows import EvalRow
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Ids, Runtime
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.step_graphs import StepGraphs

SIZES = [1, 2]


class Recording:
    """Eager, whose steps go through graphs as those of a GPU's runtime do; each choice may be spoilt."""

    def __init__(self, runtime: Runtime, graphs: StepGraphs, shift: int = 0) -> None:
        self._runtime, self._graphs, self._shift = runtime, graphs, shift

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def step(self, batch: Any, tokens: Ids, counts: Ids, allowed: Any = None, parents: Any = None) -> Ids:
        found: list[Ids] = []
        # An object as the key: the work of this step and no other.
        self._graphs.run(object(), lambda: found.append(self._runtime.step(batch, tokens, counts, allowed, parents)))
        if not self._shift or allowed is None:
            return found[0]
        last = [[ids[-1] for ids in row] if row else [0] for row in allowed]
        return np.array([[row[min(place, len(row) - 1)] for place in range(tokens.shape[1])] for row in last])


@pytest.fixture
def eager(model: Path) -> Runtime:
    return load_runtime("eager", model, RuntimeConfig(precision="fp32", num_threads=1))


@pytest.fixture
def rows() -> list[EvalRow]:
    text = "The engine was built in Derby in 1902. It weighed nine tonnes. The museum opened in 1683."
    queries = ("When was the engine built?", "What opened in 1683?", "How heavy was it?")
    return [
        EvalRow(id=str(index), set="s", query=query, title="", document=text, references=("-",))
        for index, query in enumerate(queries)
    ]


def arguments(**changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"minutes": 5.0, "batch_sizes": SIZES, "seconds": 0.0, **changes})


def open_recording(runtime: Runtime, shift: int = 0) -> Open:
    def make(left_s: float) -> Subject:
        graphs = StepGraphs(lambda work: work)
        recording: Any = Recording(runtime, graphs, shift)
        return Subject(recording, graphs, {"library": "none"})

    return make


def refuse(left_s: float) -> Subject:
    raise Unsupported("no TensorRT can be imported")


def test_every_figure_has_its_place(eager: Runtime, model: Path, rows: list[EvalRow]) -> None:
    opens = {"cuda_fp16": open_recording(eager), "cuda_bf16": open_recording(eager, 1), "tensorrt_fp16": refuse}
    figures: Any = run(rows, model, arguments(), Subject(eager), opens)
    assert figures["rows"] == 3 and figures["left_out"] == []
    assert figures["tensorrt_fp16"] == {"refused": "no TensorRT can be imported"}
    cuda = figures["cuda_fp16"]
    assert (cuda["same_rows"], cuda["same_rows_in_batches"], cuda["library"]) == (3, 3, "none")
    spoilt = figures["cuda_bf16"]
    assert spoilt["same_rows"] < 3 and spoilt["same_rows_in_batches"] < 3
    for found in (cuda["graphs"], cuda["plain"], figures["eager_fp32"]["plain"]):
        assert set(found) == {"steps", "joint", "indexed"}
        assert set(found["steps"]) == {"1", "2"} and set(found["steps"]["1"]) == {"1", "8", "24", "64"}
        for mode in ("joint", "indexed"):
            by_batch = found[mode]["by_batch"]
            assert set(by_batch) == {"1", "2"}
            assert all(each["requests_per_s"] > 0 and each["ms"] > 0 for each in by_batch.values())
    assert "graphs" not in figures["eager_fp32"], "it records none"


def test_when_time_is_up_the_rest_is_listed(eager: Runtime, model: Path, rows: list[EvalRow]) -> None:
    figures: Any = run(rows, model, arguments(minutes=0), Subject(eager), {"cuda_fp16": open_recording(eager)})
    assert figures["left_out"] == ["cuda_fp16", "eager_fp32"]
    assert "cuda_fp16" not in figures


def test_a_clock_notes_what_it_does_not_allow() -> None:
    times = iter([0.0, 3.0, 3.0, 6.0, 6.0])
    clock = Clock(5.0, now=lambda: next(times))
    assert clock.allows("early") and not clock.allows("late")
    assert clock.left_out == ["late"]


def test_a_cell_answers_one_batch_at_least_and_repeats_until_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[Any] = []
    monkeypatch.setattr(bench_gpu, "answer", lambda runtime, batch, gate: answered.append(batch))
    batches: Any = ["a", "b", "c"]
    nothing: Any = None
    assert len(answer_for(nothing, batches, nothing, 0.0)) == 1
    assert len(answer_for(nothing, batches, nothing, 30.0)) == 3
    assert answered == ["a", "a", "b", "c"]
    assert len(answer_for(nothing, batches, nothing, 0.01, repeats=True)) > 3


def test_fp32_must_agree_and_nothing_else() -> None:
    right, wrong, refused = {"same_rows": 3}, {"same_rows": 2}, {"refused": "no"}
    assert agrees({"rows": 3, "cuda_fp32": right, "cuda_fp16": wrong, "tensorrt_fp32": refused})
    assert agrees({"rows": 3})
    assert not agrees({"rows": 3, "cuda_fp32": wrong})
    assert not agrees({"rows": 3, "cuda_fp32": right, "tensorrt_fp32": wrong})


def test_what_a_build_says_or_why_there_is_none() -> None:
    assert build_apart([], 60, 'print("noise")\nprint(\'{"library": "x 1"}\')') == {"library": "x 1"}
    with pytest.raises(Unsupported, match="not built: ValueError: no parser"):
        build_apart([], 60, 'raise ValueError("no parser")')
    with pytest.raises(Unsupported, match="not built within 0 s"):
        build_apart([], 0.05, "import time; time.sleep(30)")


def test_all_that_is_named_can_be_opened(tmp_path: Path) -> None:
    assert tuple(subjects(tmp_path, "", 64)) == NAMES


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("this is a measurement")

    for name in ("run", "finish", "open_eager"):
        monkeypatch.setattr(bench_gpu, name, fail)
    assert main(["--json"]) == 0
    assert capsys.readouterr().out == "nothing was measured: this machine has no GPU that torch sees\n"


def test_the_command_runs_what_was_asked_for(
    eager: Runtime, model: Path, rows: list[EvalRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its flags to its figures, with stand-ins for the GPU alone."""
    written: list[Any] = []
    made: dict[str, Callable[..., object]] = {
        "why_not": lambda: "",
        "find_model": lambda name: model,
        "choose_rows": lambda data, count: rows[:count],
        "open_eager": lambda directory: Subject(eager),
        "subjects": lambda directory, library, most: {"cuda_fp32": open_recording(eager), "cuda_int8": refuse},
        "describe_gpu": lambda: {"name": "a GPU"},
        "finish": lambda name, args, figures: written.append((name, figures)),
    }
    for name, stand_in in made.items():
        monkeypatch.setattr(bench_gpu, name, stand_in)
    flags = ["--rows", "2", "--seconds", "0", "--batch-sizes", "1", "2"]
    assert main([*flags, "--only", "cuda_fp32", "cuda_int8"]) == 0
    [(name, figures)] = written
    assert (name, figures["gpu"], figures["rows"]) == ("gpu", {"name": "a GPU"}, 2)
    assert set(figures) == {"gpu", "rows", "cuda_fp32", "cuda_int8", "eager_fp32", "left_out", "seconds"}
