"""The specification against the network it was written for: same weights, same numbers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qdts.kernels import reference
from qdts.models.nets.config import T5Config
from qdts.models.nets.layers import Attention, GatedFeedForward, KeyValue, RelativePositionBias, RMSNorm, mask_bias
from qdts.models.nets.t5 import Decoder, stack_bias
from qdts.models.runtimes.batching import lay_out
from qdts.models.runtimes.choice import greedy_choice
from qdts.models.tokenizer import END

CONFIG = T5Config(
    vocab_size=50,
    d_model=24,
    d_kv=16,
    d_ff=32,
    num_layers=1,
    num_decoder_layers=1,
    num_heads=2,
    relative_attention_num_buckets=8,
    relative_attention_max_distance=12,
    dropout_rate=0.0,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def table_of(bias: RelativePositionBias) -> torch.Tensor:
    """A checkpoint's bias (buckets, H) by distance, as the kernels take it: (H, 2 M + 1)."""
    return bias.weight[bias.buckets].T.contiguous()


@torch.inference_mode()
def test_attention_is_the_encoders() -> None:
    bias = RelativePositionBias(CONFIG, bidirectional=True)
    layer = Attention(CONFIG, bias)
    x = torch.randn(1, 30, CONFIG.d_model)
    positions = torch.arange(30)[None]
    expected = layer(x, layer.project(x), bias(positions, positions))
    query, key, value = (project(x[0]).view(30, 2, 16) for project in (layer.q, layer.k, layer.v))
    actual = layer.o(reference.attention(query, key, value, torch.tensor([0, 30]), table_of(bias)).flatten(1))
    torch.testing.assert_close(actual[None], expected)


@torch.inference_mode()
def test_decode_self_attention_is_the_decoders() -> None:
    decoder = Decoder(CONFIG)
    held, parents = np.array([5, 0]), np.array([[-1, 0, 0, -1], [-1, -1, 1, 2]])
    lengths, positions, visible = (torch.tensor(array) for array in (held, *lay_out(held, 4, parents)))
    past = KeyValue(*torch.randn(2, 2, 2, 5, 16))  # (B, H, P, D)
    new = KeyValue(*torch.randn(2, 2, 2, 4, 16))
    query = torch.randn(2, 2, 4, 16)
    bias = decoder.step_bias(lengths, positions, visible, num_slots=5)
    expected = F.scaled_dot_product_attention(query, *past.append(new), attn_mask=bias, scale=1.0)
    actual = reference.decode_self_attention(
        query.transpose(1, 2),
        past.key.transpose(1, 2),
        past.value.transpose(1, 2),
        lengths,
        new.key.transpose(1, 2),
        new.value.transpose(1, 2),
        positions,
        visible,
        table_of(stack_bias(decoder.block)),
    )
    torch.testing.assert_close(actual.transpose(1, 2), expected)


def test_decode_cross_attention_is_attention_under_a_mask() -> None:
    query, key, value = torch.randn(2, 2, 3, 16), torch.randn(2, 2, 7, 16), torch.randn(2, 2, 7, 16)
    lengths = torch.tensor([4, 7])
    mask = torch.arange(7) < lengths[:, None]
    bias = mask_bias(mask, torch.float32)[:, None, None]
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
    keys, values = (pool.transpose(1, 2).flatten(0, 1) for pool in (key, value))
    actual = reference.decode_cross_attention(query.transpose(1, 2), keys, values, torch.tensor([0, 7]), lengths)
    torch.testing.assert_close(actual.transpose(1, 2), expected)


def test_a_quantized_token_is_off_by_half_a_step_at_most() -> None:
    x = torch.randn(5, 2, 16) * torch.logspace(-3, 3, 5)[:, None, None]
    x[2] = 0
    stored, scale = reference.quantize_tokens(x)
    error = (stored.float() * scale[:, None, None] - x).abs().flatten(1).amax(1)
    assert (error <= 0.5001 * scale).all()
    assert stored.abs().amax() == 127


def test_project_argmax_is_numpys() -> None:
    hidden, weight = torch.randint(-2, 3, (40, 6)).float(), torch.randint(-2, 3, (90, 6)).float()
    expected = (hidden @ weight.T).numpy().argmax(1)  # the first of equals
    assert reference.project_argmax(hidden, weight, 0.1).tolist() == expected.tolist()


def test_project_permitted_is_greedy_choice() -> None:
    hidden, weight = torch.randn(30, 6), torch.randn(90, 6)
    permitted = torch.stack([torch.randperm(90)[:20] for _ in range(30)])
    permitted[::2, 3] = END
    weight[END] = 3 * hidden.mean(0)
    counts = torch.arange(30) % 20 + 1
    actual = reference.project_permitted(hidden, weight, 1.0, permitted, counts, END)
    for row, count in enumerate(counts.tolist()):
        ids = permitted[row, :count].numpy()
        assert int(actual[row]) == greedy_choice(ids, (weight[ids] @ hidden[row]).numpy())


def test_norm_is_the_nets() -> None:
    norm = RMSNorm(CONFIG)
    torch.nn.init.normal_(norm.weight)
    x, update = torch.randn(4, 24), torch.randn(4, 24)
    actual = reference.add_rms_norm(x, update, norm.weight, norm.epsilon)
    torch.testing.assert_close(actual.normed, norm(x + update))
    torch.testing.assert_close(actual.stream, x + update)


@torch.inference_mode()
def test_gelus_are_the_nets() -> None:
    layer = GatedFeedForward(CONFIG)
    x = torch.randn(4, 24)
    torch.testing.assert_close(layer.wo(reference.gated_gelu(layer.wi_0(x), layer.wi_1(x))), layer(x))
    torch.testing.assert_close(reference.exact_gelu(x), F.gelu(x))
