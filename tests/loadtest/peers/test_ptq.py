"""What calibrates int8, and what becomes of a refusal."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from qdts.loadtest.peers import plain_onnx, ptq
from qdts.loadtest.peers.base import CannotBuild, Family


@pytest.fixture
def two_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptq, "NUM_PROMPTS", 2)


@pytest.mark.usefixtures("two_prompts")
def test_inputs_of_every_graph_are_recorded(work: Path) -> None:
    directory = work / Family.ENCODER_DECODER.value
    plain_onnx.ensure_graphs(directory, "fp32")
    feeds = ptq.record(directory)
    # Documents and, for the features, their queries
    assert [feed["input_ids"].shape[1] > 400 for feed in feeds["encoder_model"]] == [True, False] * 2
    assert len(feeds["decoder_model"]) == 2
    lengths = [feed["past.0.decoder.key"].shape[2] for feed in feeds["decoder_with_past_model"]]
    assert 7 < len(lengths) <= 14
    # From the first step to far into the summary
    assert max(lengths) > min(lengths) + 10


@pytest.mark.usefixtures("two_prompts")
def test_the_decoder_only_shape_is_recorded_with_and_without_a_past(work: Path) -> None:
    directory = work / Family.DECODER_ONLY.value
    plain_onnx.ensure_graphs(directory, "fp32")
    found = ptq.record(directory)["model"]
    assert [feed["past.0.decoder.key"].shape[2] > 0 for feed in found] == [False, True] * 2
    assert np.array_equal([feed["input_ids"].shape[1] > 1 for feed in found], [True, False] * 2)


def test_a_refusal_names_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(Exception):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise Refused("no such operation")

    fake = SimpleNamespace(
        quantize=refuse,
        Dataset=list,
        ModelType=SimpleNamespace(TRANSFORMER="transformer"),
        ValidationError=Refused,
        InternalError=Refused,
    )
    monkeypatch.setitem(sys.modules, "nncf", fake)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CannotBuild, match="encoder_model: no such operation"):
        ptq.quantize(None, [{}], "encoder_model")
