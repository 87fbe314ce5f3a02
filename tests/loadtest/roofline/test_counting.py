"""Operations as torch counts them while the net runs, bytes as large as the arrays that are there."""

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from qdts.loadtest.roofline.counting import Counting, Work
from qdts.models.nets.config import T5Config
from qdts.models.nets.layers import KeyValue, StepLayout
from qdts.models.nets.t5 import T5
from qdts.models.shipped import find_model

SHAPE: dict[str, Any] = dict(vocab_size=96, d_model=32, d_ff=48, num_layers=3, num_heads=4)
CONFIGS = [
    T5Config(**SHAPE, d_kv=8, num_decoder_layers=1, num_features=13, feed_forward_proj="gelu"),
    T5Config(**SHAPE, d_kv=12, num_decoder_layers=2),
]
B, S, T, P = 2, 21, 5, 7


def counted(run: Callable[[], object]) -> int:
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def calls(net: T5) -> Iterator[tuple[Work, Callable[[], object]]]:
    """Each phase, counted, and as torch runs it."""
    config, counting = net.config, Counting.of(net.config, "fp32")
    ids, mask = torch.ones(B, S, dtype=torch.long), torch.ones(B, S, dtype=torch.bool)
    hidden = torch.randn(B, S, config.d_model)
    features = torch.rand(B, S, config.num_features)
    yield counting.encode(B, S), lambda: net.encode(ids, mask)
    yield counting.start(B, S), lambda: net.decoder.project(net.interact(hidden, features))
    slots = torch.zeros(B, config.num_heads, P, config.d_kv)
    past = [KeyValue(slots, slots)] * config.num_decoder_layers
    document = net.decoder.project(hidden)
    layout = StepLayout.chain(torch.full((B,), P), T)
    tokens = torch.ones(B, T, dtype=torch.long)
    yield counting.step(B, T, S, P), lambda: net.step(tokens, layout, mask, document, past)
    yield counting.scores(B), lambda: net.logits(hidden[:, 0])
    chosen = torch.arange(9)
    yield counting.choice(1, 9), lambda: net.logits(hidden[:1, 0], chosen)


@pytest.mark.parametrize("config", CONFIGS, ids=["features", "gated"])
def test_as_many_operations_as_torch_counts(config: T5Config) -> None:
    for work, run in calls(T5(config).eval()):
        assert work.ops == counted(run)
        assert work.int_ops == 0


def numbers(net: T5, *parts: str, without: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    named = net.named_parameters()
    return {
        name: value for name, value in named if name.startswith(parts) and not any(part in name for part in without)
    }


def float_bytes(arrays: dict[str, torch.Tensor]) -> int:
    return sum(array.numel() * 4 for array in arrays.values())


def int8_bytes(arrays: dict[str, torch.Tensor]) -> int:
    """Matrices (out, in) at 8 bits with a float per output channel; position biases and norms stay as they are."""
    return sum(
        array.numel() + 4 * len(array)
        if array.ndim == 2 and "relative_attention_bias" not in name
        else array.numel() * 4
        for name, array in arrays.items()
    )


@pytest.mark.parametrize("config", CONFIGS, ids=["features", "gated"])
@pytest.mark.parametrize(("precision", "size"), [("fp32", float_bytes), ("int8", int8_bytes)])
def test_bytes_are_those_of_the_arrays(
    config: T5Config, precision: str, size: Callable[[dict[str, torch.Tensor]], int]
) -> None:
    net, counting = T5(config).eval(), Counting.of(config, precision)
    states = torch.zeros(B, S, config.d_model).nbytes
    slots = torch.zeros(2, config.num_decoder_layers, B, config.num_heads, S, config.d_kv).nbytes
    row = size({"": net.shared.weight[:1]})
    assert counting.encode(B, S).num_bytes == size(numbers(net, "encoder.")) + states + B * S * row

    cross = ("EncDecAttention.k", "EncDecAttention.v")
    memory = {name: array for name, array in numbers(net, "decoder.").items() if any(part in name for part in cross)}
    opened = size(memory | numbers(net, "interaction."))
    features = torch.zeros(B, S, config.num_features).nbytes
    assert counting.start(B, S).num_bytes == opened + states + features + slots

    own = slots * (P + T) // S
    moved = B * T * (row + 4 * config.d_model)
    assert counting.step(B, T, S, P).num_bytes == size(numbers(net, "decoder.", without=cross)) + slots + own + moved

    scores = torch.zeros(B, dtype=torch.int64).nbytes + torch.zeros(B, config.d_model).nbytes
    assert counting.scores(B).num_bytes == size({"": net.shared.weight}) + scores


def test_at_int8_the_weights_products_are_integers() -> None:
    config = CONFIGS[0]
    fp32, int8 = (Counting.of(config, precision).step(B, T, S, P) for precision in ("fp32", "int8"))
    assert int8.ops == fp32.ops
    attention = config.num_decoder_layers * 4 * B * T * (P + T + S) * config.num_heads * config.d_kv
    assert int8.float_ops == attention
    with pytest.raises(ValueError, match="precision must be int8 or fp32, is 'bf16'"):
        Counting.of(config, "bf16")


def test_the_shipped_graphs_weights_are_as_large() -> None:
    model = find_model("")
    assert model is not None
    config = T5Config.from_dict(json.loads((model / "config.json").read_text()))
    counting = Counting.of(config, "int8")
    nothing = {"encoder": counting.encode(0, 0), "start": counting.start(0, 0), "step": counting.step(0, 0, 0, 0)}
    for name, work in nothing.items():
        graph = cast(Any, onnx).load(str(model / "onnx" / "int8" / f"{name}.onnx")).graph
        arrays = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
        # Beside weights a graph has a few constants of its operators.
        assert work.num_bytes == pytest.approx(sum(array.nbytes for array in arrays), rel=0.01)


def test_work_adds_up() -> None:
    one = Work(int_ops=1, float_ops=2, num_bytes=3)
    assert one + one == one.times(2) == Work(int_ops=2, float_ops=4, num_bytes=6)
    assert one.ops == 3
