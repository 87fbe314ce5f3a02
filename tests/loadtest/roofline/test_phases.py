"""A request's phases run through a runtime; requests are their sums."""

import json
from pathlib import Path

import numpy as np
import pytest

from qdts.loadtest.roofline.counting import Counting, Work
from qdts.loadtest.roofline.peaks import Peaks
from qdts.loadtest.roofline.phases import Measured, Phase, Request, Sizes, measure
from qdts.models.nets.config import T5Config
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.eager import EagerRuntime
from qdts.models.runtimes.embedding import Table

PEAKS = Peaks(int8_ops=1e9, fp32_ops=1e9, cache_read=1e9, memory_read=1e9, cache_bytes=0)
NAMES = ["encode", "query", "start", "prefix", "token", "draft", "scores", "choice"]


@pytest.mark.parametrize("batch", [1, 2])
def test_every_phase_is_run_as_it_is_counted(model: Path, batch: int) -> None:
    runtime = EagerRuntime.load(model, RuntimeConfig(precision="fp32", num_threads=1))
    config = T5Config.from_dict(json.loads((model / "config.json").read_text()))
    table = Table(np.ones((config.vocab_size, config.d_model), np.float32), np.ones(config.vocab_size, np.float32))
    counting = Counting.of(config, "fp32")
    sizes = Sizes(document=30, query=7, prefix=4, written=6, options=3, repeats=2)
    request = Request(runtime, table, counting, sizes, batch)
    found = {one.name: one for one in measure(request.phases(), sizes, lambda: PEAKS)}
    assert list(found) == [*NAMES, "plain", "drafted"]
    assert all(len(one.ms) == 2 and min(one.ms) > 0 for one in found.values())
    assert found["query"].work == counting.encode(batch, 7)
    assert found["token"].work == counting.step(batch, 1, 30, 4)
    assert found["draft"].work == counting.step(batch, 5, 30, 4)
    # A draft passes as many tokens as five steps do, and reads the weights once.
    assert found["drafted"].work.num_bytes < found["plain"].work.num_bytes
    fixed = sum(found[name].ms[0] for name in ("encode", "query", "start", "prefix")) + 2 * found["choice"].ms[0]
    assert found["plain"].ms[0] == pytest.approx(fixed + 5 * found["token"].ms[0])
    assert found["drafted"].ms[0] == pytest.approx(fixed + found["draft"].ms[0])


def test_a_share_compares_what_ran_side_by_side() -> None:
    """The machine halves its speed in the second repeat: the phase with it."""
    slow = Peaks(int8_ops=0.5e9, fp32_ops=0.5e9, cache_read=0.5e9, memory_read=0.5e9, cache_bytes=0)
    one = Measured("encode", Work(float_ops=1_000_000, num_bytes=10))
    for ms, peaks in ((2.0, PEAKS), (4.0, slow), (2.0, PEAKS)):
        one.add(ms, peaks)
    line = one.line()
    assert (line["roofline"], line["compute_ms"], line["floor_ms"]) == (0.5, 1.0, 1.0)
    assert line["ms"] == {"median": 2.0, "low": 2.0, "high": 3.0}
    assert (line["gop"], line["int8_share"]) == (0.001, 0.0)


def test_phases_are_warm_when_they_are_timed() -> None:
    order: list[str] = []

    def sample() -> Peaks:
        order.append("peaks")
        return PEAKS

    phases = [Phase(name=name, work=Work(float_ops=1), run=lambda: order.append("run")) for name in NAMES]
    measure(phases, Sizes(repeats=1), sample)
    assert order == ["peaks", "run", "run"] * len(NAMES)
