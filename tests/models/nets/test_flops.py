"""Counted as torch counts the very forward pass; devices are found by their names."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from qdts.models.nets.flops import forward_flops, peak_flops
from qdts.models.nets.t5 import T5


def counted(net: T5, encoder_tokens: int, decoder_tokens: int, num_logits: int) -> float:
    ids, tokens = torch.ones(1, encoder_tokens, dtype=torch.long), torch.ones(1, decoder_tokens, dtype=torch.long)
    mask = torch.ones(1, encoder_tokens, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        net.logits(net.decode(tokens, net.encode(ids, mask), mask)[:, :num_logits])
    return counter.get_total_flops()


@pytest.mark.parametrize("activation", ["gated-gelu", "relu"])
@pytest.mark.parametrize(("encoder_tokens", "decoder_tokens", "num_logits"), [(7, 5, 5), (20, 3, 1)])
def test_as_many_as_torch_counts(
    make_net: Callable[..., T5], activation: str, encoder_tokens: int, decoder_tokens: int, num_logits: int
) -> None:
    net = make_net(activation=activation)
    expected = counted(net, encoder_tokens, decoder_tokens, num_logits)
    assert forward_flops(net.config, encoder_tokens, decoder_tokens, num_logits) == expected
    assert forward_flops(net.config, encoder_tokens, decoder_tokens) >= expected


def test_layers_count_where_they_are(make_net: Callable[..., T5]) -> None:
    config = make_net().config
    deep, shallow = replace(config, num_layers=4), replace(config, num_decoder_layers=1)
    assert forward_flops(deep, 100, 10) > 1.5 * forward_flops(config, 100, 10)
    assert forward_flops(shallow, 100, 10) > 0.6 * forward_flops(config, 100, 10)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L20", 119.5e12),
        ("NVIDIA L200", None),
        ("cpu", None),
    ],
)
def test_peaks_are_known_by_name(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak
