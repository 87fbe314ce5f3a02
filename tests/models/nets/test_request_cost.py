"""FLOPs from shapes against FLOPs that torch counts while the very request is run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from qdts.models.nets.config import T5Config
from qdts.models.nets.decoder_only import DecoderOnly, DecoderOnlyConfig
from qdts.models.nets.layers import KeyValue, StepLayout
from qdts.models.nets.request_cost import Request, decoder_only_cost, encoder_decoder_cost
from qdts.models.nets.t5 import T5

TOLERANCE = 0.02
SHAPE: dict[str, Any] = dict(vocab_size=96, d_model=32, d_ff=48, num_layers=3, num_heads=4)
T5_SHAPES = [
    T5Config(**SHAPE, d_kv=8, num_decoder_layers=1, num_features=10),
    T5Config(**SHAPE, d_kv=12, num_decoder_layers=2, feed_forward_proj="relu"),
]
# All in one call, one token at a time, and drafts.
REQUESTS = [(120, 20, 9, 1), (40, 5, 12, 12), (60, 10, 24, 4)]


def counted(run: Callable[[], object]) -> int:
    # The fused kernels of the CPU are not in the counter's list: take the one made of plain products.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def fed_per_call(request: Request) -> list[int]:
    return [round(fed) for _, fed in request.calls()]


def no_slots(config: T5Config) -> list[KeyValue]:
    empty = torch.zeros(1, config.num_heads, 0, config.d_kv)
    return [KeyValue(empty, empty) for _ in range(config.num_decoder_layers)]


def ask_t5(net: T5, request: Request) -> None:
    mask = torch.ones(1, request.encoder_tokens, dtype=torch.bool)
    if request.states_known:
        hidden = torch.randn(1, request.encoder_tokens, net.config.d_model)
    else:
        hidden = net.encode(torch.ones(1, request.encoder_tokens, dtype=torch.long), mask)
    if request.query_tokens:
        net.encode(torch.ones(1, request.query_tokens, dtype=torch.long), torch.ones(1, request.query_tokens).bool())
    hidden = net.interact(hidden, torch.rand(1, request.encoder_tokens, net.config.num_features))
    document, past = net.decoder.project(hidden), no_slots(net.config)
    for fed in fed_per_call(request):
        lengths = torch.tensor([past[0].key.shape[2]])
        _, new = net.step(torch.ones(1, fed, dtype=torch.long), StepLayout.chain(lengths, fed), mask, document, past)
        past = [old.append(fresh) for old, fresh in zip(past, new, strict=True)]
    net.logits(torch.randn(1, request.output_tokens, net.config.d_model))


def ask_decoder_only(net: DecoderOnly, request: Request) -> None:
    document = torch.ones(1, request.encoder_tokens, dtype=torch.long)
    features = torch.rand(1, request.encoder_tokens, net.config.num_features)
    past: list[KeyValue] = net(net.interact(net.embed(document), features))[1]
    for fed in fed_per_call(request):
        lengths = torch.tensor([past[0].key.shape[2]])
        _, new = net.step(net.embed(torch.ones(1, fed, dtype=torch.long)), StepLayout.chain(lengths, fed), past)
        past = [old.append(fresh) for old, fresh in zip(past, new, strict=True)]
    net.logits(torch.randn(1, request.output_tokens, net.config.d_model))


def make_request(sizes: tuple[int, int, int, int], states_known: bool = False) -> Request:
    encoder, prefix, output, steps = sizes
    return Request(
        encoder_tokens=encoder, prefix_tokens=prefix, output_tokens=output, steps=steps, states_known=states_known
    )


@pytest.mark.parametrize("config", T5_SHAPES, ids=["features", "relu"])
@pytest.mark.parametrize("sizes", REQUESTS)
@pytest.mark.parametrize("states_known", [False, True])
def test_flops_of_the_encoder_decoder(config: T5Config, sizes: tuple[int, int, int, int], states_known: bool) -> None:
    request = replace(make_request(sizes, states_known), query_tokens=7 if config.num_features else 0)
    net = T5(config).eval()
    expected = counted(lambda: ask_t5(net, request))
    assert encoder_decoder_cost(config, request).flops == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.parametrize("num_features", [0, 10])
@pytest.mark.parametrize("sizes", REQUESTS)
def test_flops_of_the_decoder_only_net(num_features: int, sizes: tuple[int, int, int, int]) -> None:
    config = DecoderOnlyConfig(**SHAPE, max_positions=256, num_features=num_features)
    request = make_request(sizes)
    net = DecoderOnly(config).eval()
    expected = counted(lambda: ask_decoder_only(net, request))
    assert decoder_only_cost(config, request).flops == pytest.approx(expected, rel=TOLERANCE)


def matrices(net: torch.nn.Module, left_out: tuple[str, ...] = ()) -> int:
    """Numbers in matrices, but for positions and what is left out: what a call must read."""
    small = (*left_out, "positions", "relative_attention_bias")
    return sum(p.numel() for n, p in net.named_parameters() if p.ndim == 2 and not any(part in n for part in small))


def test_weights_are_read_once_per_call_that_uses_them() -> None:
    config = T5_SHAPES[0]
    once = make_request((30, 5, 8, 1))
    assert encoder_decoder_cost(config, once, 2).weight_bytes == 2 * matrices(T5(config))
    known = make_request((30, 5, 8, 1), states_known=True)
    assert encoder_decoder_cost(config, known, 1).weight_bytes == matrices(T5(config), left_out=("encoder",))
    gpt2 = DecoderOnlyConfig(**SHAPE)
    blocks = matrices(DecoderOnly(gpt2), left_out=("shared",))
    # The document, then one call that reads the output layer as well.
    assert decoder_only_cost(gpt2, once, 1).weight_bytes == matrices(DecoderOnly(gpt2)) + blocks


def test_state_bytes_by_hand() -> None:
    """One layer, so few tokens that each read and write can be counted."""
    t5 = T5Config(vocab_size=8, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_decoder_layers=1, num_heads=2)
    request = make_request((10, 3, 2, 2))  # 3 tokens fed, then 1
    states, cross, own = 2 * 10 * 4, 10 * 8 * 3, 8 * (4 + 3)
    assert encoder_decoder_cost(t5, request, 1).state_bytes == states + cross + own
    gpt2 = DecoderOnlyConfig(vocab_size=8, d_model=4, d_ff=4, num_layers=1, num_heads=2)
    assert decoder_only_cost(gpt2, request, 1).state_bytes == 8 * (14 + 10 + 13)


def test_known_states_save_what_depends_on_the_document_alone() -> None:
    config = T5_SHAPES[1]
    cold, warm = (encoder_decoder_cost(config, make_request((100, 9, 20, 2), known)) for known in (False, True))
    net = T5(config).eval()
    ids: Tensor = torch.ones(1, 100, dtype=torch.long)
    saved = counted(lambda: net.encode(ids, torch.ones(1, 100, dtype=torch.bool)))
    assert cold.flops - warm.flops == pytest.approx(saved, rel=TOLERANCE)
    gpt2 = DecoderOnlyConfig(**SHAPE)
    prefix_first, prefix_later = (
        decoder_only_cost(gpt2, make_request((100, 9, 20, 2), known)).flops for known in (False, True)
    )
    assert prefix_later < prefix_first


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 1, 1, 1), "encoder_tokens must be at least 1, is 0"),
        ((1, 1, 3, 4), "steps must be at most output_tokens 3"),
    ],
)
def test_a_request_out_of_bounds_names_field_and_bound(sizes: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_request(sizes)
