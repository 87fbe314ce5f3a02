"""The network against Hugging Face's, and its incremental forward against its teacher-forced one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from qdts.models import checkpoint
from qdts.models.nets.config import T5Config
from qdts.models.nets.layers import KeyValue, StepLayout
from qdts.models.nets.t5 import T5

MakeNet = Callable[..., T5]
LENGTHS = (160, 90, 3)  # past the largest relative distance, and nearly nothing


def documents() -> tuple[Tensor, Tensor]:
    ids = torch.randint(2, 128, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]
    return ids, mask


def as_transformers(net: T5, directory: Path) -> Any:  # its generate() is beyond a type checker
    checkpoint.save(net, directory)
    return T5ForConditionalGeneration.from_pretrained(directory).eval()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", ["gated-gelu", "relu"])
@torch.inference_mode()
def test_logits_and_greedy_tokens_are_those_of_transformers(
    make_net: MakeNet, tmp_path: Path, tied: bool, activation: str
) -> None:
    ours = make_net(tied=tied, activation=activation, num_features=0)
    theirs = as_transformers(ours, tmp_path)
    ids, mask = documents()
    tokens = torch.randint(0, 128, (len(LENGTHS), 150), generator=torch.Generator().manual_seed(2))

    our_logits = ours.logits(ours.decode(tokens, ours.encode(ids, mask), mask))
    their_logits = theirs(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=tokens).logits

    torch.testing.assert_close(our_logits, their_logits, rtol=1e-4, atol=1e-4)
    generated = theirs.generate(
        input_ids=ids, attention_mask=mask.long(), do_sample=False, max_new_tokens=12, min_new_tokens=12
    )
    # generate forbids </s> up to its minimum length.
    assert greedy(ours, ids, mask, 12, forbidden=1).tolist() == generated.tolist()


def greedy(net: T5, ids: Tensor, mask: Tensor, num_tokens: int, forbidden: int) -> Tensor:
    hidden = net.encode(ids, mask)
    tokens = torch.zeros(len(ids), 1, dtype=torch.long)
    for _ in range(num_tokens):
        logits = net.logits(net.decode(tokens, hidden, mask)[:, -1])
        logits[:, forbidden] = -torch.inf
        tokens = torch.cat([tokens, logits.argmax(-1, keepdim=True)], dim=1)
    return tokens


@pytest.mark.parametrize("split", [(1,) * 9, (9,), (4, 5), (1, 7, 1)])
@torch.inference_mode()
def test_steps_with_a_cache_are_teacher_forcing(make_net: MakeNet, split: tuple[int, ...]) -> None:
    net = make_net()
    ids, mask = documents()
    tokens = torch.randint(0, 128, (len(LENGTHS), 9), generator=torch.Generator().manual_seed(3))
    hidden = net.encode(ids, mask)
    expected = net.decode(tokens, hidden, mask)

    document = net.decoder.project(hidden)
    past = [KeyValue(layer.key[:, :, :0], layer.value[:, :, :0]) for layer in document]
    lengths = torch.zeros(len(LENGTHS), dtype=torch.long)
    parts: list[Tensor] = []
    for piece in tokens.split(split, dim=1):
        state, new = net.step(piece, StepLayout.chain(lengths, piece.shape[1]), mask, document, past)
        past = [old.append(fresh) for old, fresh in zip(past, new, strict=True)]
        lengths = lengths + piece.shape[1]
        parts.append(state)

    torch.testing.assert_close(torch.cat(parts, dim=1), expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_padding_changes_nothing(make_net: MakeNet) -> None:
    net = make_net()
    ids, mask = documents()
    together = net.encode(ids, mask)
    for row, length in enumerate(LENGTHS):
        alone = net.encode(ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1, :length], alone, rtol=1e-4, atol=1e-4)


def test_features_are_added_and_their_absence_is_the_identity(make_net: MakeNet) -> None:
    net = make_net()
    hidden = torch.randn(1, 5, 32)
    assert net.interact(hidden, None) is hidden
    assert not torch.equal(net.interact(hidden, torch.rand(1, 5, 4)), hidden)
    assert make_net(num_features=0).interact(hidden, torch.rand(1, 5, 4)) is hidden


def test_every_parameter_learns(make_net: MakeNet) -> None:
    net = make_net(tied=False).train()
    ids, mask = documents()
    hidden = net.interact(net.encode(ids, mask), torch.rand(len(LENGTHS), max(LENGTHS), 4))
    net.logits(net.decode(ids[:, :20], hidden, mask)).square().mean().backward()
    silent = [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


def test_an_inference_pass_has_no_dropout(make_net: MakeNet) -> None:
    net = make_net()
    ids, mask = documents()
    assert torch.equal(net.encode(ids, mask), net.encode(ids, mask))
    net.train()
    assert not torch.equal(net.encode(ids, mask), net.encode(ids, mask))


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("d_model", 0, "at least 1"),
        ("feed_forward_proj", "gated-silu", "relu"),
        ("dropout_rate", 1.0, r"\[0, 1\)"),
        ("relative_attention_num_buckets", 30, "multiple of 4"),
        ("relative_attention_max_distance", 16, "exceed half"),
        ("num_features", -1, "at least 0"),
    ],
)
def test_a_config_out_of_bounds_names_value_and_bound(field: str, value: Any, bound: str) -> None:
    shape = dict(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_decoder_layers=1, num_heads=2)
    with pytest.raises(ValueError, match=f"{field} is .*{bound}"):
        T5Config.from_dict({**shape, field: value})


def test_a_config_survives_its_file_and_ignores_what_only_transformers_knows(make_net: MakeNet) -> None:
    config = make_net().config
    assert T5Config.from_dict({**config.to_dict(), "n_positions": 512, "task_specific_params": {}}) == config


def test_a_config_without_a_decoder_depth_is_symmetric() -> None:
    shape = dict(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=3, num_heads=2)
    config = T5Config.from_dict(shape)
    assert (config.num_decoder_layers, config.feed_forward_proj) == (3, "relu")
