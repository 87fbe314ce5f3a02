"""Plain ONNX graphs in the layout in which optimum exports a model: what a user without this project would run.

encoder_model.onnx            input_ids, attention_mask -> last_hidden_state
decoder_model.onnx            input_ids, encoder_hidden_states, encoder_attention_mask -> logits, all keys and values
decoder_with_past_model.onnx  input_ids, encoder_attention_mask, all keys and values -> logits, the decoder's own ones
model.onnx                    decoder-only: input_ids, keys and values -> the last token's logits, keys and values

int8 is ONNX Runtime's dynamic quantisation: weights per channel, activations per tensor.
Shapes: B batch · S document tokens · T tokens of a call · P cached slots · C hidden · H heads · D head dim · V words.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from qdts.models.export.trace import Trace, export_trace
from qdts.models.nets.decoder_only import DecoderOnly
from qdts.models.nets.layers import KeyValue, mask_bias
from qdts.models.nets.t5 import T5, stack_bias

_OPSET = 18
ENCODER, DECODER, WITH_PAST = "encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"
CAUSAL = "model.onnx"


class EncoderGraph(nn.Module):
    """Ids to states."""

    def __init__(self, net: T5) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, S), (B, S) -> (B, S, C)"""
        return self.net.encode(input_ids, attention_mask)


class DecoderGraph(nn.Module):
    """The prefix: projects the document's keys and values, too."""

    def __init__(self, net: T5) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor, hidden: Tensor, mask: Tensor) -> list[Tensor]:
        """(B, T), (B, S, C), (B, S) -> (B, T, V), then per layer keys and values (B, H, T or S, D)"""
        bias = self.net.decoder.causal_bias(input_ids.shape[1], input_ids.device)
        document = self.net.decoder.project(hidden)
        states, new = self.net.decoder(self.net.shared(input_ids), bias, mask, document)
        return [self.net.logits(states), *_flat(new), *_flat(document)]


class WithPastGraph(nn.Module):
    """One more token."""

    def __init__(self, net: T5) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor, mask: Tensor, *caches: Tensor) -> list[Tensor]:
        """(B, 1), (B, S), own and the document's keys and values -> (B, 1, V) and the own ones, longer by one"""
        half = len(caches) // 2
        past, document = _pairs(caches[:half]), _pairs(caches[half:])
        num_cached = caches[0].shape[2]
        keys = torch.arange(num_cached + input_ids.shape[1])[None]
        bias = stack_bias(self.net.decoder.block)(keys[:, num_cached:], keys)  # nothing is masked: one token
        states, new = self.net.decoder(self.net.shared(input_ids), bias, mask, document, past)
        return [self.net.logits(states), *_flat([old.append(now) for old, now in zip(past, new, strict=True)])]


class CausalGraph(nn.Module):
    """The seed's shape. Logits of the last token only: a prompt's others are not needed."""

    def __init__(self, net: DecoderOnly) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor, *caches: Tensor) -> list[Tensor]:
        """(B, T), per layer keys and values (B, H, P, D) -> (B, V), then those, longer by T"""
        past = _pairs(caches)
        num_cached = caches[0].shape[2]
        keys = torch.arange(num_cached + input_ids.shape[1])[None]  # (1, P + T)
        queries = keys[:, num_cached:]
        bias = mask_bias(keys[:, None, :] <= queries[:, :, None], torch.float32)[:, None]
        states, new = self.net.decoder(self.net.embed(input_ids), queries, past, bias)
        return [self.net.logits(states[:, -1]), *_flat([old.append(now) for old, now in zip(past, new, strict=True)])]


def export_encoder_decoder(net: T5, directory: Path) -> None:
    """The three graphs, fp32."""
    traces = {ENCODER: _encoder(net), DECODER: _decoder(net), WITH_PAST: _with_past(net)}
    _export_all(traces, directory)


def export_decoder_only(net: DecoderOnly, directory: Path) -> None:
    """The one graph, fp32."""
    config = net.config
    size = (1, config.num_heads, 3, config.d_model // config.num_heads)
    past = {name: torch.randn(size) for name in _names("past", "decoder", config.num_layers)}
    present = list(_names("present", "decoder", config.num_layers))
    free: dict[str, dict[int, str]] = {"input_ids": {0: "B", 1: "T"}, "logits": {0: "B"}}
    free |= {name: {0: "B", 2: "P"} for name in past} | {name: {0: "B", 2: "P+T"} for name in present}
    inputs = {"input_ids": torch.tensor([[3, 4]]), **past}
    trace = Trace(module=CausalGraph(net), inputs=inputs, outputs=["logits", *present], free=free)
    _export_all({CAUSAL: trace}, directory)


def quantize(source: Path, target: Path) -> None:
    """Every graph of `source` in int8, with the settings optimum has for this CPU."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from qdts.models.runtimes.cpu import sums_exactly

    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.onnx")):
        quantize_dynamic(
            path, target / path.name, per_channel=True, reduce_range=not sums_exactly(), weight_type=QuantType.QInt8
        )


def _export_all(traces: Mapping[str, Trace], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for name, trace in traces.items():
            trace.module.eval()
            export_trace(trace, directory / name, _OPSET)


def _encoder(net: T5) -> Trace:
    axes = {0: "B", 1: "S"}
    return Trace(
        module=EncoderGraph(net),
        inputs={"input_ids": torch.tensor([[3, 4, 5]]), "attention_mask": torch.ones(1, 3, dtype=torch.int64)},
        outputs=["last_hidden_state"],
        free={"input_ids": axes, "attention_mask": axes, "last_hidden_state": axes},
    )


def _decoder(net: T5) -> Trace:
    own, document = _present(net)
    free: dict[str, dict[int, str]] = {
        "input_ids": {0: "B", 1: "T"},
        "encoder_hidden_states": {0: "B", 1: "S"},
        "encoder_attention_mask": {0: "B", 1: "S"},
        "logits": {0: "B", 1: "T"},
    }
    free |= {name: {0: "B", 2: "T"} for name in own} | {name: {0: "B", 2: "S"} for name in document}
    inputs = {
        "input_ids": torch.tensor([[3, 4]]),
        "encoder_hidden_states": torch.randn(1, 5, net.config.d_model),
        "encoder_attention_mask": torch.ones(1, 5, dtype=torch.int64),
    }
    return Trace(module=DecoderGraph(net), inputs=inputs, outputs=["logits", *own, *document], free=free)


def _with_past(net: T5) -> Trace:
    config = net.config
    inputs = {"input_ids": torch.tensor([[3]]), "encoder_attention_mask": torch.ones(1, 5, dtype=torch.int64)}
    free: dict[str, dict[int, str]] = {
        "input_ids": {0: "B"},
        "encoder_attention_mask": {0: "B", 1: "S"},
        "logits": {0: "B"},
    }
    for kind, slots, axis in (("decoder", 4, "P"), ("encoder", 5, "S")):
        for name in _names("past", kind, config.num_decoder_layers):
            inputs[name] = torch.randn(1, config.num_heads, slots, config.d_kv)
            free[name] = {0: "B", 2: axis}
    own, _ = _present(net)
    free |= {name: {0: "B", 2: "P+1"} for name in own}
    return Trace(module=WithPastGraph(net), inputs=inputs, outputs=["logits", *own], free=free)


def _present(net: T5) -> tuple[list[str], list[str]]:
    layers = net.config.num_decoder_layers
    return list(_names("present", "decoder", layers)), list(_names("present", "encoder", layers))


def _names(when: str, kind: str, num_layers: int) -> Iterator[str]:
    return (f"{when}.{layer}.{kind}.{part}" for layer in range(num_layers) for part in ("key", "value"))


def _flat(layers: Sequence[KeyValue]) -> list[Tensor]:
    return [tensor for layer in layers for tensor in layer]


def _pairs(flat: Sequence[Tensor]) -> list[KeyValue]:
    return [KeyValue(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)]
