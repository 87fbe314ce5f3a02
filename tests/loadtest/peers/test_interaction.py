"""In numpy as in the net."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from qdts.loadtest.peers.base import Family, Request, Text
from qdts.loadtest.peers.interaction import Interaction
from qdts.models import checkpoint
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.batching import pad_floats
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.eager import EagerRuntime
from qdts.models.summarizer import read_prompts


def test_padded_documents_get_what_the_net_adds(model: Path, work: Path, summary_batch: Sequence[Request]) -> None:
    net = checkpoint.load(model)
    runtime = EagerRuntime(net, RuntimeConfig(precision="fp32"))
    states, features = read_prompts(runtime, [request.prompt for request in summary_batch])
    hidden = pad_floats([one.hidden for one in states], axis=0)

    def encode(queries: Sequence[Ids]) -> Floats:
        return pad_floats([one.hidden for one in runtime.encode(queries)], axis=0)

    told = Interaction(work / Family.ENCODER_DECODER.value).add(hidden, summary_batch, encode)
    for row, one, own in zip(told, states, features, strict=True):
        with torch.inference_mode():
            expected = net.interact(torch.tensor(one.hidden), torch.tensor(own)).numpy()
        assert np.allclose(row[: len(expected)], expected, atol=1e-5)
        assert not np.allclose(one.hidden, expected, atol=1e-3)
        assert not row[len(expected) :].any()


def test_free_text_and_nets_without_features_get_nothing(
    work: Path, summary_batch: Sequence[Request], tmp_path: Path
) -> None:
    hidden = np.ones((1, 3, 32), np.float32)
    free = replace(summary_batch[0], text=Text.FREE)
    assert Interaction(work / Family.ENCODER_DECODER.value).add(hidden, [free], list) is hidden  # pyright: ignore[reportArgumentType]
    assert Interaction(tmp_path).add(hidden, summary_batch[:1], list) is hidden  # pyright: ignore[reportArgumentType]
