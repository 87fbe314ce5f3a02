"""Every parameter has one optimiser, by what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qdts.models.nets.t5 import T5
from qdts.models.training.config import LoopConfig
from qdts.models.training.muon import Muon
from qdts.models.training.optimizers import make_optimizers, split_parameters


@pytest.fixture
def net(make_net: Callable[..., T5]) -> T5:
    return make_net()


def test_only_matrices_inside_blocks_are_hidden(net: T5) -> None:
    encoder, hidden, rest = split_parameters(net)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    assert encoder == [] and len(hidden) + len(rest) == len(names)
    assert all(".block." in names[id(p)] and p.ndim == 2 for p in hidden)
    outside = {names[id(p)] for p in rest if p.ndim == 2}
    assert outside == {
        "shared.weight",
        "interaction.wi.weight",
        "interaction.wo.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    }


@pytest.mark.parametrize(("optimizer", "kind"), [("muon", Muon), ("adamw", torch.optim.AdamW)])
def test_each_kind_has_its_rate_and_decay(net: T5, optimizer: Any, kind: type) -> None:
    config = LoopConfig(out=Path("o"), optimizer=optimizer, learning_rate=0.5, embedding_rate=0.25, weight_decay=0.125)
    (hidden, hidden_rate), (rest, rest_rate) = make_optimizers(net, config)
    assert isinstance(hidden, kind) and isinstance(rest, torch.optim.AdamW)
    assert (hidden_rate, rest_rate) == (0.5, 0.25)
    assert (hidden.param_groups[0]["weight_decay"], rest.param_groups[0]["weight_decay"]) == (0.125, 0.0)


def test_a_pretrained_encoder_has_a_rate_of_its_own(net: T5) -> None:
    (encoder, rate), *others = make_optimizers(net, LoopConfig(out=Path("o"), encoder_rate=0.125))
    assert isinstance(encoder, torch.optim.AdamW) and rate == 0.125 and len(others) == 2
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    chosen = {names[id(p)] for p in encoder.param_groups[0]["params"]}
    expected = {name for name in names.values() if name.startswith("encoder.")}
    assert expected - chosen == {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"}
    assert chosen < expected
    learned = [id(p) for o, _ in [(encoder, rate), *others] for p in o.param_groups[0]["params"]]
    assert sorted(learned) == sorted(names)


def test_what_is_frozen_has_none(net: T5) -> None:
    net.encoder.requires_grad_(False)
    chosen = {id(p) for o, _ in make_optimizers(net, LoopConfig(out=Path("o"))) for p in o.param_groups[0]["params"]}
    assert chosen == {id(p) for p in net.parameters() if p.requires_grad}
    net.decoder.requires_grad_(False)
    assert len(make_optimizers(net, LoopConfig(out=Path("o")))) == 1
