"""What quantisation does to each layer, as a signal-to-noise ratio, and quantize.json, which keeps it.

Per layer on kept inputs X: SQNR = 10 log10(|XW|^2 / |XW - Q(X)Q(W)|^2) dB, both roundings counted, the layers before
it taken as exact. 6 dB are one bit.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdts.models.export.clips import QuantizedWeight
from qdts.models.export.int8 import quantize_tokens

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One layer: its shape (K, N), SQNR in dB with the chosen clips and with none, how many channels have which clip.

    The ratios are None where nothing was calibrated; a layer kept in float32 has no clips.
    """

    name: str
    shape: tuple[int, int]
    is_kept: bool = False
    sqnr_db: float | None = None
    unclipped_db: float | None = None
    clips: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeReport:
    """What quantize.json says. `weight_bits` is what a loader must know."""

    weight_bits: int
    clip: str
    weights: str = "symmetric, per output channel"
    activations: str = "8 bits, symmetric, per token, measured as they come"
    needs: str
    calibrated_on: str
    num_prompts: int
    layers: tuple[LayerReport, ...]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def sqnr_db(inputs: Floats, weight: Floats, quantized: QuantizedWeight) -> float:
    """(n, K), (K, N) -> dB"""
    exact = inputs @ weight
    return ratio_db(exact, exact - quantize_tokens(inputs) @ quantized.dequantized())


def ratio_db(signal: npt.NDArray[np.floating[Any]], noise: npt.NDArray[np.floating[Any]]) -> float:
    """10 log10 of the ratio of powers; at most 200, so that no noise at all is still a number."""
    powers = float(np.square(signal, dtype=np.float64).sum()), float(np.square(noise, dtype=np.float64).sum())
    return round(float(min(200.0, 10 * np.log10(max(powers[0], 1e-30) / max(powers[1], 1e-30)))), 2)


def count_clips(quantized: QuantizedWeight) -> dict[str, int]:
    """Share of the largest weight -> number of output channels clipped there."""
    counts = Counter(round(float(share), 4) for share in quantized.clips)
    return {str(share): counts[share] for share in sorted(counts, reverse=True)}


def to_text(layers: Sequence[LayerReport]) -> str:
    """A table for the terminal, worst layers first."""
    width = max(len(layer.name) for layer in layers)
    lines = [f"{'layer':{width}}  {'shape':>11}  {'SQNR dB':>8}  {'unclipped':>9}  {'clipped':>8}"]
    for layer in sorted(layers, key=lambda layer: (layer.sqnr_db is None, layer.sqnr_db)):
        clipped = sum(layer.clips.values()) - layer.clips.get("1.0", 0)
        share = "fp32" if layer.is_kept else f"{100 * clipped / max(1, sum(layer.clips.values())):.0f} %"
        shape = "x".join(map(str, layer.shape))
        lines.append(
            f"{layer.name:{width}}  {shape:>11}  {_db(layer.sqnr_db):>8}  {_db(layer.unclipped_db):>9}  {share:>8}"
        )
    return "\n".join(lines)


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
