"""A folded encoder gives a BERT's states, up to a linear map, without a step of training."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.training.fold import FoldSettings, fold, least_squares


def make_bert(positions: float) -> Any:
    """A random BERT whose layers matter; `positions` is how much its position embeddings do."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=90,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.12,
    )
    bert = transformers.BertModel(config).eval().requires_grad_(False)
    bert.embeddings.position_embeddings.weight.mul_(positions)
    for name, parameter in bert.named_parameters():
        if name.endswith("bias"):
            parameter.copy_(0.1 * torch.randn_like(parameter))
        if "LayerNorm.weight" in name:
            parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
    return bert


def make_net() -> T5:
    return T5(
        T5Config(
            vocab_size=90,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=3,
            num_decoder_layers=1,
            num_heads=4,
            feed_forward_proj="gelu",
            dropout_rate=0.0,
        )
    ).eval()


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return torch.randint(1, 90, (60, 40), generator=torch.Generator().manual_seed(1))


def agreement(bert: Any, net: T5, ids: Tensor, table: Tensor, readout: Tensor) -> float:
    """Mean cosine of the folded states, mapped, with BERT's, on texts the folding has not seen; centred."""
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        ours = net.encoder(table[ids], mask) @ readout.T
        theirs = bert(input_ids=ids).last_hidden_state
    mean = theirs.mean((0, 1))
    return float(F.cosine_similarity(ours - mean, theirs - mean, dim=-1).mean())


def folded_agreement(positions: float, ids: Tensor) -> tuple[float, T5]:
    bert, net = make_bert(positions), make_net()
    folded = fold(bert, net, ids[:40], torch.ones_like(ids[:40]), FoldSettings())
    return agreement(bert, net, ids[40:], folded.table, folded.readout), net


def test_states_agree_where_positions_do_not_matter(ids: Tensor) -> None:
    cosine, _ = folded_agreement(0.0, ids)
    assert cosine > 0.95


def test_an_encoder_that_was_not_folded_does_not_agree(ids: Tensor) -> None:
    """Even with BERT's own words and the best readout there is."""
    bert, net = make_bert(0.0), make_net()
    table = bert.embeddings.word_embeddings.weight
    mask = torch.ones_like(ids, dtype=torch.bool)
    states = net.encoder(table[ids], mask).detach().flatten(0, 1)
    readout = least_squares(states, bert(input_ids=ids).last_hidden_state.flatten(0, 1))
    assert agreement(bert, net, ids[40:], table, readout) < 0.8


def test_padding_changes_nothing(ids: Tensor) -> None:
    padded, mask = F.pad(ids[:40], (0, 5)), F.pad(torch.ones_like(ids[:40]), (0, 5))
    bert, whole, cut = make_bert(0.0), make_net(), make_net()
    fold(bert, whole, ids[:40], torch.ones_like(ids[:40]), FoldSettings())
    fold(bert, cut, padded, mask, FoldSettings())
    first, second = (net.encoder.block[1].layer[1].DenseReluDense.wi.weight for net in (whole, cut))  # type: ignore[union-attr]
    assert torch.allclose(first, second, atol=1e-3)


def test_positions_become_the_bias(ids: Tensor) -> None:
    """A BERT that looks at neighbours leaves a table that is not flat."""
    _, flat = folded_agreement(0.0, ids)
    _, bent = folded_agreement(6.0, ids)
    spread = [net.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.std() for net in (flat, bent)]  # type: ignore[union-attr]
    assert spread[1] > 2 * spread[0]


def test_sizes_that_differ_are_named(ids: Tensor) -> None:
    net = T5(T5Config(vocab_size=90, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_decoder_layers=1, num_heads=4))
    with pytest.raises(ValueError, match="d_ff must be 64.*is 48"):
        fold(make_bert(0.0), net, ids, torch.ones_like(ids), FoldSettings())


@pytest.mark.parametrize("name", ["constant", "least_scale"])
def test_settings_have_bounds(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must lie in \(0, 1\], is 0.0"):
        FoldSettings(**{name: 0.0})
