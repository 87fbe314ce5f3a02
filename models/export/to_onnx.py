"""T5 in torch -> fp32 ONNX graphs and the embedding table that `runtimes.onnx_runtime` runs.

encoder.onnx  embedded (B, S, C), mask (B, S) -> hidden (B, S, C)
start.onnx    hidden (B, S, C) [, features (B, S, F), present (B,)] -> per layer key, value (B, H, S, D)
step.onnx     embedded (B, T, C), lengths (B,), positions (B, T), visible (B, T, T), mask (B, S), the document's and
              the cache's keys and values -> state (B, T, C), new keys and values (B, H, T, D)

The vocabulary's table stays outside: a step reads only the rows it needs. Free choices are made by head.onnx (head.py).
A state times the table is the scores: T5's scaling of tied embeddings is folded into the state.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from qdts.models.export.head import write_head
from qdts.models.export.trace import Trace, export_trace
from qdts.models.nets.layers import KeyValue
from qdts.models.nets.t5 import T5
from qdts.models.runtimes.embedding import EMBEDDING

GRAPHS = ("encoder.onnx", "start.onnx", "step.onnx")


class EncoderGraph(nn.Module):
    """Embeddings to states."""

    def __init__(self, net: T5) -> None:
        super().__init__()
        self.net = net

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """(B, S, C), (B, S) -> (B, S, C)"""
        return self.net.encoder(embedded, mask)


class StartGraph(nn.Module):
    """States, with the interaction features where they are present, to the decoder's keys and values."""

    def __init__(self, net: T5) -> None:
        super().__init__()
        self.net = net

    def forward(self, hidden: Tensor, features: Tensor | None = None, present: Tensor | None = None) -> list[Tensor]:
        """(B, S, C), (B, S, F), (B,) -> flat list of (B, H, S, D)"""
        if present is not None:
            changed = self.net.interact(hidden, features)
            hidden = torch.where(present[:, None, None], changed, hidden)
        return [tensor for layer in self.net.decoder.project(hidden) for tensor in layer]


class StepGraph(nn.Module):
    """New tokens to decoder states and their keys and values."""

    def __init__(self, net: T5) -> None:
        super().__init__()
        self.net = net
        self.scale = net.config.d_model**-0.5 if net.config.tie_word_embeddings else 1.0

    def forward(
        self, embedded: Tensor, lengths: Tensor, positions: Tensor, visible: Tensor, mask: Tensor, *caches: Tensor
    ) -> list[Tensor]:
        """(B, T, C), (B,), (B, T), (B, T, T), (B, S), flat caches -> (B, T, C) and the flat new keys and values"""
        half = len(caches) // 2
        document, past = _pairs(caches[:half]), _pairs(caches[half:])
        bias = self.net.decoder.step_bias(lengths, positions, visible, past[0].key.shape[2])
        hidden, new = self.net.decoder(embedded, bias, mask, document, past)
        return [hidden * self.scale, *(tensor for layer in new for tensor in layer)]


def export_graphs(net: T5, directory: Path) -> None:
    """Write the fp32 graphs and embedding.safetensors."""
    directory.mkdir(parents=True, exist_ok=True)
    net = net.eval()
    with torch.inference_mode():
        for name, trace in zip(GRAPHS, (_encoder(net), _start(net), _step(net)), strict=True):
            export_trace(trace, directory / name)
    tables = _tables(net)
    save_file(tables, directory / EMBEDDING)
    write_head(np.ascontiguousarray(tables.get("head", tables["tokens"]).T), directory)


def _encoder(net: T5) -> Trace:
    inputs = {"embedded": torch.randn(1, 5, net.config.d_model), "mask": torch.ones(1, 5, dtype=torch.bool)}
    axes = {0: "B", 1: "S"}
    free = {"embedded": axes, "mask": axes, "hidden": axes}
    return Trace(module=EncoderGraph(net), inputs=inputs, outputs=["hidden"], free=free)


def _start(net: T5) -> Trace:
    config = net.config
    inputs = {"hidden": torch.randn(1, 5, config.d_model)}
    free: dict[str, dict[int, str]] = {"hidden": {0: "B", 1: "S"}}
    if config.num_features:
        inputs |= {
            "features": torch.randn(1, 5, config.num_features),
            "present": torch.ones(1, dtype=torch.bool),
        }
        free |= {"features": {0: "B", 1: "S"}, "present": {0: "B"}}
    outputs = list(_names("document", config.num_decoder_layers))
    free |= {name: {0: "B", 2: "S"} for name in outputs}
    return Trace(module=StartGraph(net), inputs=inputs, outputs=outputs, free=free)


def _step(net: T5) -> Trace:
    config = net.config
    inputs = {
        "embedded": torch.randn(2, 3, config.d_model),
        "lengths": torch.tensor([4, 2]),
        "positions": torch.tensor([[4, 5, 5], [2, 3, 4]]),
        "visible": torch.ones(2, 3, 3, dtype=torch.bool).tril(),
        "mask": torch.ones(2, 5, dtype=torch.bool),
    }
    free: dict[str, dict[int, str]] = {
        "embedded": {0: "B", 1: "T"},
        "lengths": {0: "B"},
        "positions": {0: "B", 1: "T"},
        "visible": {0: "B", 1: "T", 2: "T"},
        "mask": {0: "B", 1: "S"},
        "state": {0: "B", 1: "T"},
    }
    for kind, slots, axis in (("document", 5, "S"), ("past", 6, "P")):
        for name in _names(kind, config.num_decoder_layers):
            inputs[name] = torch.randn(2, config.num_heads, slots, config.d_kv)
            free[name] = {0: "B", 2: axis}
    outputs = ["state", *_names("new", config.num_decoder_layers)]
    free |= {name: {0: "B", 2: "T"} for name in outputs[1:]}
    return Trace(module=StepGraph(net), inputs=inputs, outputs=outputs, free=free)


def _names(kind: str, num_layers: int) -> Iterator[str]:
    return (f"{kind}.{layer}.{part}" for layer in range(num_layers) for part in ("key", "value"))


def _pairs(flat: Sequence[Tensor]) -> list[KeyValue]:
    return [KeyValue(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)]


def _tables(net: T5) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """The embedding and, where it is another, the output layer; their scales are 1."""
    tables = {"tokens": net.shared.weight}
    if not net.config.tie_word_embeddings:
        tables["head"] = net.lm_head.weight
    arrays = {name: weight.detach().cpu().float().numpy() for name, weight in tables.items()}
    scales = {f"{name}.scale": np.ones(len(array), np.float32) for name, array in arrays.items()}
    return arrays | scales
