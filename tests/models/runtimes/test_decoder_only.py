"""The decoder-only runtime against whole sequences through the net."""

import numpy as np
import pytest
import torch

from qdts.models.nets.decoder_only import DecoderOnly, DecoderOnlyConfig
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.decoder_only import DecoderOnlyRuntime


@pytest.fixture(scope="module")
def net() -> DecoderOnly:
    torch.manual_seed(3)
    config = DecoderOnlyConfig(vocab_size=128, d_model=32, d_ff=64, num_layers=2, num_heads=4, num_features=4)
    net = DecoderOnly(config).eval()
    with torch.no_grad():
        for name, weight in net.named_parameters():  # quiet words, loud layers: it says something
            weight.add_(torch.randn_like(weight) * (0.05 if "bias" in name or "shared" in name else 0.5))
    return net


@torch.inference_mode()
def alone(net: DecoderOnly, document: Ids, features: Floats | None, prefix: Ids, num_tokens: int) -> list[int]:
    """Greedy tokens, the whole sequence anew for each."""
    tokens = prefix.tolist()
    extra = None if features is None else torch.tensor(features)[None]
    read = net.interact(net.embed(torch.tensor(document)[None]), extra)
    for _ in range(num_tokens):
        hidden, _ = net(torch.cat([read, net.embed(torch.tensor([tokens]))], dim=1))
        tokens.append(int(net.logits(hidden[0, -1]).argmax()))
    return tokens[len(prefix) :]


def test_writes_what_the_net_writes(net: DecoderOnly, documents: list[Ids], features: list[Floats | None]) -> None:
    runtime = DecoderOnlyRuntime(net)
    batch = runtime.start(runtime.encode(documents), features)
    prefix = np.array([5, 9, 77])
    tokens, written = np.tile(prefix, (3, 1)), list[Ids]()
    for _ in range(10):
        chosen = runtime.step(batch, tokens, np.full(3, tokens.shape[1]))
        tokens = chosen[:, -1:]
        written.append(tokens)
    actual = np.concatenate(written, axis=1).tolist()
    expected = [alone(net, *pair, prefix, 10) for pair in zip(documents, features, strict=True)]
    assert actual == expected and len(np.unique(actual)) > 5
    assert batch.lengths.tolist() == [len(document) + 3 + 9 for document in documents]


def test_what_was_cut_back_is_forgotten(net: DecoderOnly, documents: list[Ids], features: list[Floats | None]) -> None:
    runtime = DecoderOnlyRuntime(net)
    batch = runtime.start(runtime.encode(documents), features)
    one = np.ones(3, np.int64)
    before = batch.lengths.copy()
    expected = runtime.step(batch, np.array([[7], [7], [7]]), one)
    runtime.keep(batch, before)
    runtime.step(batch, np.array([[3, 4], [4, 9], [5, 5]]), 2 * one)
    runtime.keep(batch, before)
    assert runtime.step(batch, np.array([[7], [7], [7]]), one).tolist() == expected.tolist()
