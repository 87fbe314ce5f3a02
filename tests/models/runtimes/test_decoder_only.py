"""The decoder-only runtime against whole sequences through the net."""

import numpy as np
import pytest
import torch

from qdts.models.nets.decoder_only import DecoderOnly, DecoderOnlyConfig
from qdts.models.runtimes.base import Floats, Ids, Noise
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
    nothing = [np.arange(0)] * 3
    expected = runtime.step(batch, np.array([[7], [7], [7]]), one)
    runtime.keep(batch, nothing)
    runtime.step(batch, np.array([[3, 4], [4, 9], [5, 5]]), 2 * one)
    runtime.keep(batch, nothing)
    assert runtime.step(batch, np.array([[7], [7], [7]]), one).tolist() == expected.tolist()


def test_a_path_of_a_tree_is_that_chain(net: DecoderOnly, documents: list[Ids], features: list[Floats | None]) -> None:
    runtime = DecoderOnlyRuntime(net)
    tree, chain = (runtime.start(runtime.encode(documents), features) for _ in range(2))
    tokens = np.array([[3, 4, 5, 6], [7, 8, 9, 3], [4, 4, 5, 5]])
    parents = np.array([[-1, 0, 0, 2]] * 3)
    path = np.array([0, 2, 3])
    chosen = runtime.step(tree, tokens, np.full(3, 4), parents=parents)
    assert chosen[:, path].tolist() == runtime.step(chain, tokens[:, path], np.full(3, 3)).tolist()
    runtime.keep(tree, [path] * 3)
    last = np.array([[7], [8], [9]])
    one = np.ones(3, np.int64)
    assert runtime.step(tree, last, one).tolist() == runtime.step(chain, last, one).tolist()


def test_rows_come_and_go(net: DecoderOnly, documents: list[Ids], features: list[Floats | None]) -> None:
    runtime = DecoderOnlyRuntime(net)
    states = runtime.encode(documents)
    noise = Noise(seed=4, temperature=1.0)
    expected = [alone(net, *pair, np.array([5]), 4) for pair in zip(documents, features, strict=True)]
    batch = runtime.start(states[:2], features[:2], [noise, None])
    first = runtime.step(batch, np.array([[5], [5]]), np.array([1, 1]))
    assert runtime.leave(batch, np.array([0])).tolist() == [1]
    runtime.join(batch, states[2:], features[2:])
    second = runtime.step(batch, np.array([first[1], [5]]), np.array([1, 1]))
    third = runtime.step(batch, second, np.array([1, 1]))
    assert [int(first[1, 0]), int(second[0, 0]), int(third[0, 0])] == expected[1][:3]
    assert [int(second[1, 0]), int(third[1, 0])] == expected[2][:2]
