"""What the engines' benchmark counts, and that without a GPU it claims nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from qdts.loadtest import bench_engines
from qdts.loadtest.bench_engines import KnownDocuments, Paces, choose_capability, count_same, main
from qdts.models.runtimes.base import Ids, States


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("this is a measurement")

    monkeypatch.setattr(bench_engines, "run", fail)
    monkeypatch.setattr(bench_engines, "finish", fail)
    assert main(["--json"]) == 0
    assert capsys.readouterr().out == "nothing was measured: this machine has no GPU that torch sees\n"


def test_the_best_rate_is_the_best_of_those_within_the_slo() -> None:
    paces = Paces(ms={1: [5.0] * 9, 8: [20.0] * 9, 32: [40.0] * 9})
    figures = paces.figures()
    assert figures["requests_per_s_within_slo"] == 400.0
    assert figures["by_batch"] == {
        "1": {"requests_per_s": 200.0, "ms": 5.0, "p99_ms": 10.0},
        "8": {"requests_per_s": 400.0, "ms": 20.0, "p99_ms": 40.0},
        "32": {"requests_per_s": 800.0, "ms": 40.0, "p99_ms": 80.0},
    }
    assert Paces(ms={32: [40.0] * 9}).figures()["requests_per_s_within_slo"] == 0.0


def test_one_slow_batch_delays_two() -> None:
    by_batch = Paces(ms={4: [10.0] * 40 + [90.0] + [10.0] * 40}).figures()["by_batch"]
    assert by_batch == {"4": {"requests_per_s": round(81 * 4 / 0.89, 1), "ms": 10.0, "p99_ms": 100.0}}


def test_known_documents_are_not_read_again() -> None:
    read: list[int] = []

    class Reader:
        name = "reader"

        def encode(self, documents: list[Ids]) -> list[States]:
            read.extend(len(ids) for ids in documents)
            return [States(hidden=np.full((len(ids), 1), ids[0], np.float32)) for ids in documents]

    documents = [np.arange(3), np.arange(5, 9)]
    known = KnownDocuments(Reader(), documents)  # pyright: ignore[reportArgumentType]
    states = known.encode([documents[1], np.arange(7, 9), documents[0]])
    assert [int(each.hidden[0, 0]) for each in states] == [5, 7, 0]
    assert read == [3, 4, 2]
    assert known.name == "reader"


def test_a_gpu_that_is_not_listed_gets_what_may_run_on_it() -> None:
    assert choose_capability("8.9", ["8.0", "8.9"]) == "8.9"
    assert choose_capability("9.0", ["8.0", "8.9"]) == "8.0"


def test_rows_are_compared_token_by_token() -> None:
    assert count_same([[1, 2], [3], [4]], [[1, 2], [3, 0], [4]]) == 2


def test_a_run_that_differs_in_fp32_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench_engines, "why_not", lambda: "")
    monkeypatch.setattr(bench_engines, "find_model", lambda name: tmp_path)
    monkeypatch.setattr(bench_engines, "finish", lambda *_: None)
    for found, status in (({"same_rows": 3}, 0), ({"same_rows": 2}, 1), ({"refused": "no"}, 1)):
        monkeypatch.setattr(bench_engines, "run", lambda *_, found=found: {"tensorrt_fp32": found})
        assert main(["--rows", "3"]) == status
