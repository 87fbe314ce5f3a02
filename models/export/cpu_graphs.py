"""T5 written out in the operators that ONNX Runtime's CPU provider is fastest at: the sums that `to_onnx` traces.

encoder.onnx  embedded (B, S, C) -> hidden (B, S, C); documents of one length, without padding
start.onnx    hidden (B, S, C) [, features (B, S, F), present (B,)] -> per layer key, value (B, H, S, D)
step.onnx     embedded (B, T, C), lengths (B,), positions (B, T), visible (B, T, T), mask (B, S), the document's and
              the cache's keys and values -> state (B, T, C), new keys and values (B, H, T, D)

Attention is one operator, which works head by head within the core's cache. The encoder's position bias depends on
the length alone: it is computed once, for _KEPT_TOKENS, and cut to size; for longer documents it is computed anew.
Shapes: B batch · S document tokens · T tokens of a step · P cached slots · H heads · D head dim · C hidden.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdts.models.export.clips import QuantizedWeight
from qdts.models.export.graph_writer import GraphWriter, Shape
from qdts.models.export.int8 import Int8Layers
from qdts.models.nets.config import T5Config
from qdts.models.nets.layers import relative_buckets

Floats = npt.NDArray[np.float32]
Weights = Mapping[str, QuantizedWeight | Floats]
_KEPT_TOKENS = 512  # 12 MB with 12 heads
_FLOAT, _INT, _BOOL = np.float32, np.int64, np.bool_
_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """A T5: `layers` as `layers.read_graph` names them in the traced graphs, and all `parameters` as T5 does."""

    config: T5Config
    layers: Weights
    parameters: Mapping[str, Floats]

    def position_bias(self, stack: str) -> Floats:
        """(2 M + 1, H) for each distance in [-M, M]."""
        table = self.parameters[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        return table[relative_buckets(self.config, bidirectional=stack == "encoder").numpy()]


def write_cpu_graphs(net: Net, directory: Path) -> None:
    """Write the graphs above, without the table, to a directory that is there."""
    writers: dict[str, Callable[[_Part], None]] = {"encoder": _encoder, "start": _start, "step": _step}
    for name, write in writers.items():
        part = _Part(name, net)
        write(part)
        part.writer.save(directory / f"{name}.onnx")


class _Part:
    """One graph of a net: what its blocks have in common."""

    def __init__(self, name: str, net: Net) -> None:
        self.name = name
        self.config = net.config
        self.writer = GraphWriter(name)
        self.op, self.constant = self.writer.op, self.writer.constant
        self._net = net
        self._layers = Int8Layers(self.writer, net.layers)

    def branch(self, name: str) -> "_Part":
        """A graph within this one, which it reads."""
        return _Part(name, self._net)

    def linear(self, x: str, layer: str) -> str:
        """(..., K) -> (..., N)"""
        return self._layers.linear(x, f"{self.name}:{layer}")

    def parameter(self, name: str) -> str:
        """A norm's weight, a bias."""
        return self.constant(self._net.parameters[name])

    def norm(self, x: str, name: str) -> str:
        """x / rms(x) * weight"""
        weight, epsilon = self.parameter(f"{name}.weight"), self.config.layer_norm_epsilon
        return self.op("SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=epsilon, stash_type=1)

    def split(self, x: str) -> str:
        """(B, T, H D) -> (B, H, T, D)"""
        heads = self.constant([0, 0, self.config.num_heads, self.config.d_kv])
        return self.op("Transpose", self.op("Reshape", x, heads), perm=[0, 2, 1, 3])

    def merge(self, x: str) -> str:
        """(B, H, T, D) -> (B, T, H D)"""
        width = self.constant([0, 0, self.config.num_heads * self.config.d_kv])
        return self.op("Reshape", self.op("Transpose", x, perm=[0, 2, 1, 3]), width)

    def attend(self, query: str, key: str, value: str, bias: str, *past: str) -> str:
        """Each (B, T, H D), or each (B, H, T, D), with bias (1 or B, 1 or H, T, S) -> as the query."""
        heads: dict[str, Any] = {"q_num_heads": self.config.num_heads, "kv_num_heads": self.config.num_heads}
        # With a past the operator insists on giving it back, grown.
        num_outputs = 3 if past else 1
        return self.op("Attention", query, key, value, bias, *past, num_outputs=num_outputs, scale=1.0, **heads)

    def feed_forward(self, x: str, layer: str) -> str:
        """(B, T, C) -> (B, T, C)"""
        kind = self.config.feed_forward_proj
        if kind == "gated-gelu":
            gate = self.op("Gelu", self.linear(x, f"{layer}/wi_0"), approximate="tanh")
            inner = self.op("Mul", gate, self.linear(x, f"{layer}/wi_1"))
        else:
            inner = self.op("Gelu" if kind == "gelu" else "Relu", self.linear(x, f"{layer}/wi"))
        return self.linear(inner, f"{layer}/wo")

    def position_bias(self, stack: str, queries: str, keys: str) -> str:
        """Positions (B, T) and (B, S) -> (B, H, T, S)"""
        table, limit = self._net.position_bias(stack), self.config.relative_attention_max_distance
        distance = self.op("Sub", self.unsqueeze(keys, 1), self.unsqueeze(queries, 2))
        near = self.op("Clip", distance, self.constant(-limit), self.constant(limit))
        row = self.op("Add", near, self.constant(limit))
        return self.op("Transpose", self.op("Gather", self.constant(table), row), perm=[0, 3, 1, 2])

    def unsqueeze(self, x: str, *axes: int) -> str:
        """Dimensions of size 1 at these places of the result."""
        return self.op("Unsqueeze", x, self.constant(list(axes)))

    def size(self, x: str, axis: int) -> str:
        """(1,) one dimension of a tensor."""
        return self.op("Shape", x, start=axis, end=axis + 1)

    def positions(self, number: str) -> str:
        """(1,) N -> (1, N), 0 to N - 1"""
        return self.unsqueeze(self.op("Range", self.constant(0), self.op("Squeeze", number), self.constant(1)), 0)

    def give(self, name: str, source: str, shape: Shape, dtype: type[np.generic] = _FLOAT) -> None:
        """An output."""
        self.writer.output(name, source, dtype, shape)


def _encoder(part: _Part) -> None:
    shape = ["B", "S", part.config.d_model]
    x = part.writer.input("embedded", _FLOAT, shape)
    bias = _encoder_bias(part, part.size(x, 1))
    for index in range(part.config.num_layers):
        block, layer = f"encoder.block.{index}", f"encoder/block.{index}"
        normed = part.norm(x, f"{block}.layer.0.layer_norm")
        query = part.linear(normed, f"{layer}/layer.0/SelfAttention/q")
        memory = [part.linear(normed, f"{layer}/layer.0/{kind}") for kind in ("k", "v")]
        attended = part.attend(query, *memory, bias)
        x = part.op("Add", x, part.linear(attended, f"{layer}/layer.0/SelfAttention/o"))
        normed = part.norm(x, f"{block}.layer.1.layer_norm")
        x = part.op("Add", x, part.feed_forward(normed, f"{layer}/layer.1/DenseReluDense"))
    part.give("hidden", part.norm(x, "encoder.final_layer_norm"), shape)


def _encoder_bias(part: _Part, number: str) -> str:
    """(1,) S -> (1, H, S, S)"""
    # Of constants alone: computed when the graph is loaded.
    kept = part.positions(part.constant([_KEPT_TOKENS]))
    all_of_it = part.position_bias("encoder", kept, kept)
    size = part.op("Concat", number, number, axis=0)
    shape = [1, part.config.num_heads, "S", "S"]
    cut, anew = part.branch("cut"), part.branch("anew")
    cut.give("bias", cut.op("Slice", all_of_it, cut.constant([0, 0]), size, cut.constant([2, 3])), shape)
    places = anew.positions(number)
    anew.give("bias", anew.position_bias("encoder", places, places), shape)
    fits = part.op("LessOrEqual", part.op("Squeeze", number), part.constant(_KEPT_TOKENS))
    return part.writer.choose(fits, cut.writer, anew.writer)


def _start(part: _Part) -> None:
    config = part.config
    hidden = part.writer.input("hidden", _FLOAT, ["B", "S", config.d_model])
    if config.num_features:
        hidden = _interact(part, hidden)
    for layer in range(config.num_decoder_layers):
        # The trace numbers what is called alike.
        number = f"_{layer}" if layer else ""
        for name, kind in (("key", "k"), ("value", "v")):
            projected = part.split(part.linear(hidden, f"{kind}{number}"))
            part.give(f"document.{layer}.{name}", projected, ["B", config.num_heads, "S", config.d_kv])


def _interact(part: _Part, hidden: str) -> str:
    """hidden + wo(relu(wi features)), where features are present"""
    features = part.writer.input("features", _FLOAT, ["B", "S", part.config.num_features])
    present = part.unsqueeze(part.writer.input("present", _BOOL, ["B"]), 1, 2)
    inner = part.op("Add", part.linear(features, "interaction/wi"), part.parameter("interaction.wi.bias"))
    changed = part.op("Add", hidden, part.linear(part.op("Relu", inner), "interaction/wo"))
    return part.op("Where", present, changed, hidden)


def _step(part: _Part) -> None:
    config = part.config
    shape = ["B", "T", config.d_model]
    x = part.writer.input("embedded", _FLOAT, shape)
    lengths = part.writer.input("lengths", _INT, ["B"])
    positions = part.writer.input("positions", _INT, ["B", "T"])
    visible = part.writer.input("visible", _BOOL, ["B", "T", "T"])
    mask = part.writer.input("mask", _BOOL, ["B", "S"])
    document, past = _held(part, "document", "S"), _held(part, "past", "P")
    own_bias = _own_bias(part, lengths, positions, visible, past[0][0])
    document_bias = _document_bias(part, mask, part.size(positions, 1))
    kept: dict[str, str] = {}
    for index in range(config.num_decoder_layers):
        x, new = _own_attention(part, index, x, past[index], own_bias)
        kept |= {f"new.{index}.key": part.split(new[0]), f"new.{index}.value": part.split(new[1])}
        x = _document_attention(part, index, x, document[index], document_bias)
        normed = part.norm(x, f"decoder.block.{index}.layer.2.layer_norm")
        x = part.op("Add", x, part.feed_forward(normed, f"decoder/block.{index}/layer.2/DenseReluDense"))
    scale = config.d_model**-0.5 if config.tie_word_embeddings else 1.0
    normed = part.norm(x, "decoder.final_layer_norm")
    part.give("state", part.op("Mul", normed, part.constant(scale, _FLOAT)), shape)
    for name, source in kept.items():
        part.give(name, source, ["B", config.num_heads, "T", config.d_kv])


def _held(part: _Part, kind: str, axis: str) -> list[tuple[str, str]]:
    """Inputs: keys and values per layer, (B, H, S or P, D)."""
    shape = ["B", part.config.num_heads, axis, part.config.d_kv]

    def held(name: str) -> str:
        return part.writer.input(f"{kind}.{name}", _FLOAT, shape)

    return [(held(f"{layer}.key"), held(f"{layer}.value")) for layer in range(part.config.num_decoder_layers)]


def _own_attention(part: _Part, index: int, x: str, past: tuple[str, str], bias: str) -> tuple[str, list[str]]:
    """x + attention, and the keys and values (B, T, H D) of the new tokens"""
    normed = part.norm(x, f"decoder.block.{index}.layer.0.layer_norm")
    layer = f"decoder/block.{index}/layer.0"
    new = [part.linear(normed, f"{layer}/{kind}") for kind in ("k", "v")]
    query = part.linear(normed, f"{layer}/SelfAttention/q")
    attended = part.attend(query, *new, bias, *past)
    return part.op("Add", x, part.linear(attended, f"{layer}/SelfAttention/o")), new


def _document_attention(part: _Part, index: int, x: str, document: tuple[str, str], bias: str) -> str:
    """x + attention to the document"""
    normed = part.norm(x, f"decoder.block.{index}.layer.1.layer_norm")
    layer = f"decoder/block.{index}/layer.1/EncDecAttention"
    query = part.split(part.linear(normed, f"{layer}/q"))
    attended = part.merge(part.attend(query, *document, bias))
    return part.op("Add", x, part.linear(attended, f"{layer}/o"))


def _own_bias(part: _Part, lengths: str, positions: str, visible: str, past: str) -> str:
    """As `Decoder.step_bias`: (B, H, T, P + T)"""
    slots = part.positions(part.size(past, 2))  # (1, P)
    num_slots = part.size(slots, 1)
    places = part.op("Expand", slots, part.op("Concat", part.size(lengths, 0), num_slots, axis=0))
    bias = part.position_bias("decoder", positions, part.op("Concat", places, positions, axis=1))
    used = part.unsqueeze(part.op("Less", slots, part.unsqueeze(lengths, 1)), 1)  # (B, 1, P)
    used = part.op("Expand", used, part.op("Concat", part.op("Shape", positions), num_slots, axis=0))
    seen = part.unsqueeze(part.op("Concat", used, visible, axis=2), 1)
    return part.op("Where", seen, bias, part.constant(_LOWEST, _FLOAT))


def _document_bias(part: _Part, mask: str, num_tokens: str) -> str:
    """(B, S) -> (B, 1, T, S): the operator wants a row for each token."""
    bias = part.op("Where", mask, part.constant(0, _FLOAT), part.constant(_LOWEST, _FLOAT))
    size = part.op("Concat", part.constant([1, 1]), num_tokens, part.constant([1]), axis=0)
    return part.op("Expand", part.unsqueeze(bias, 1, 2), size)
