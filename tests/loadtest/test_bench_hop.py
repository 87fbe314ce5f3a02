"""The measurement of the way to an engine process: the model takes no part in it, both ways give its summary."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import Unavailable
from qdts.loadtest import bench_hop
from qdts.loadtest.bench_hop import SIZES, EngineThere, Idle, measure
from qdts.models.document import Document
from qdts.service.config import EngineConfig, load_config
from qdts.service.processes.reader import load_reader


@pytest.fixture(name="directory")
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="qdts-") as directory:
        yield Path(directory)


async def test_both_ways_are_measured_for_every_size(directory: Path) -> None:
    figures: Any = await measure(20, str(directory))
    lines = [figures[f"{size}_chars"] for size in SIZES]
    assert [line["prompt_bytes"] for line in lines] == sorted(line["prompt_bytes"] for line in lines)
    assert lines[-1]["prompt_bytes"] > SIZES[-1]
    for line in lines:
        for times in (line["alone_us"], line["of_16_at_once_us"]):
            assert 0 < times["here"]["median"] <= times["here"]["p99"]
            assert times["here"]["median"] < times["there"]["median"], "the way there is longer"
        assert line["added_us"]["median"] == line["alone_us"]["there"]["median"] - line["alone_us"]["here"]["median"]


def test_the_model_is_done_after_one_step() -> None:
    reader = load_reader(EngineConfig())
    assert reader is not None
    model = Idle(reader)
    prompt = model.prepare("Who?", Document(text="One. Two."), max_words=5)
    writing = model.start([prompt, prompt])
    assert (writing.active, [*writing.join([prompt])], writing.active) == ((0, 1), [2], (0, 1, 2))
    writing.step()
    assert writing.active == () and writing.summary(2) == bench_hop.SUMMARY


def test_an_engine_that_does_not_start_is_said(directory: Path) -> None:
    directory.chmod(0o755)
    config = load_config(None, {}, {"processes.fronts": 1, "processes.directory": str(directory)})
    with pytest.raises(Unavailable, match="0700"), EngineThere(config):
        pass
    directory.chmod(0o700)
