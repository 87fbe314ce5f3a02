"""The decoder-only net against Hugging Face's GPT-2, and its steps with a cache against whole sequences."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from qdts.models.nets.decoder_only import DecoderOnly, DecoderOnlyConfig, to_gpt2
from qdts.models.nets.layers import KeyValue, StepLayout

SHAPE: dict[str, Any] = dict(
    vocab_size=128, d_model=32, d_ff=80, num_layers=3, num_heads=4, max_positions=64, num_features=0
)


def build(**changes: Any) -> DecoderOnly:
    torch.manual_seed(5)
    net = DecoderOnly(DecoderOnlyConfig(**(SHAPE | changes))).eval()
    with torch.no_grad():
        for weight in net.parameters():  # louder than GPT-2 starts, biases and norms included
            weight.add_(torch.randn_like(weight) * 0.2)
    return net


def some_tokens(num_rows: int, num_tokens: int) -> Tensor:
    return torch.randint(0, 128, (num_rows, num_tokens), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_logits_are_those_of_transformers() -> None:
    ours = build()
    config = GPT2Config(
        vocab_size=128, n_positions=64, n_embd=32, n_layer=3, n_head=4, n_inner=80, bos_token_id=0, eos_token_id=1
    )
    theirs = GPT2LMHeadModel(config).eval()
    report = theirs.load_state_dict(to_gpt2(ours.state_dict(), num_layers=3), strict=False)
    assert report.unexpected_keys == [] and all(name.endswith(".attn.bias") for name in report.missing_keys)
    tokens = some_tokens(3, 50)
    expected = theirs(input_ids=tokens).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(ours.logits(ours(ours.embed(tokens))[0]), expected, rtol=1e-4, atol=1e-4)


def test_features_have_no_place_in_gpt2() -> None:
    with pytest.raises(ValueError, match="num_features must be 0"):
        to_gpt2(build(num_features=4).state_dict(), num_layers=3)


@pytest.mark.parametrize("split", [(1,) * 9, (9,), (4, 5), (1, 7, 1)])
@torch.inference_mode()
def test_steps_with_a_cache_are_whole_sequences(split: tuple[int, ...]) -> None:
    """Rows begin with prompts of different lengths, padded at their ends."""
    net = build()
    lengths = torch.tensor([20, 7, 1])
    tokens = some_tokens(3, 29)
    whole = [net(net.embed(row[None, : int(length) + 9]))[0][0] for row, length in zip(tokens, lengths, strict=True)]

    _, past = net(net.embed(tokens[:, :20]))
    rest = torch.stack([row[int(n) : int(n) + 9] for row, n in zip(tokens, lengths, strict=True)])
    parts: list[Tensor] = []
    for piece in rest.split(split, dim=1):
        state, new = net.step(net.embed(piece), StepLayout.chain(lengths, piece.shape[1]), past)
        past = [write(old, fresh, lengths) for old, fresh in zip(past, new, strict=True)]
        lengths = lengths + piece.shape[1]
        parts.append(state)
    actual = torch.cat(parts, dim=1)
    for row, expected in enumerate(whole):
        torch.testing.assert_close(actual[row], expected[-9:], rtol=1e-4, atol=1e-4)


def write(past: KeyValue, new: KeyValue, lengths: Tensor) -> KeyValue:
    """The slots of each row and right behind them its new ones, whatever lay there."""
    room = new.key.shape[2]
    grown = [torch.cat([tensor, torch.zeros_like(tensor[:, :, :room])], dim=2) for tensor in past]
    for tensor, fresh in zip(grown, new, strict=True):
        for row, length in enumerate(lengths.tolist()):
            tensor[row, :, length : length + room] = fresh[row]
    return KeyValue(*grown)


def test_features_are_added_and_their_absence_is_the_identity() -> None:
    embedded = torch.randn(1, 5, 32)
    net = build(num_features=4)
    assert net.interact(embedded, None) is embedded
    assert not torch.equal(net.interact(embedded, torch.rand(1, 5, 4)), embedded)
    assert build().interact(embedded, torch.rand(1, 5, 4)) is embedded


def test_every_parameter_learns() -> None:
    net = build(num_features=4, dropout_rate=0.1).train()
    embedded = net.interact(net.embed(some_tokens(2, 64)), torch.rand(2, 64, 4))
    net.logits(net(embedded)[0]).square().mean().backward()
    silent = [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A key's bias shifts all scores of a query alike, which softmax does not see.
    assert [name for name in silent if not name.endswith("attention.k.bias")] == []


def test_the_defaults_are_the_seeds_shape() -> None:
    config = DecoderOnlyConfig(vocab_size=50257)
    assert (config.num_layers, config.d_model, config.num_heads, config.d_ff) == (12, 768, 12, 3072)


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("num_layers", 0, "at least 1"),
        ("max_positions", 0, "at least 1"),
        ("num_heads", 3, "multiple"),
        ("dropout_rate", 1.0, r"\[0, 1\)"),
        ("num_features", -1, "at least 0"),
    ],
)
def test_a_config_out_of_bounds_names_field_and_bound(field: str, value: Any, bound: str) -> None:
    with pytest.raises(ValueError, match=f"{field}.*{bound}|{bound}.*{field}"):
        DecoderOnlyConfig(**(SHAPE | {field: value}))
