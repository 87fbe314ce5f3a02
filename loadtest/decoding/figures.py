"""From tallies to what is reported: medians, and ratios of what ran side by side."""

from typing import Any

import numpy as np

from qdts.loadtest.decoding.drafters import PLAIN
from qdts.loadtest.decoding.passes import Comparison, Tally
from qdts.loadtest.peers.figures import quartiles

Figures = dict[str, Any]


def figures_of(found: Comparison, read_ms: float) -> Figures:
    """Of one runtime at one batch size. `read_ms`: what encoding a document takes."""
    return {
        "rows": len(found.tallies[PLAIN].outputs),
        "gated_vs_plain": {**quartiles(found.pairs), "pairs": len(found.pairs)},
        "drafters": {name: _drafter(tally, found.tallies[PLAIN], read_ms) for name, tally in found.tallies.items()},
    }


def _drafter(tally: Tally, plain: Tally, read_ms: float) -> Figures:
    """`ms_per_request` is the decode phase; a request also reads its document and opens its sequence."""
    ms, start_ms = float(np.median(tally.ms)), float(np.median(tally.start_ms))
    return {
        "same_rows": sum(ours == theirs for ours, theirs in zip(tally.outputs, plain.outputs, strict=True)),
        "tokens_per_step": round(tally.tokens_per_step, 2),
        "ms_per_request": round(ms, 3),
        "requests_per_s": round(1000 / (read_ms + start_ms + ms), 2),
        "speedup": round(float(np.median([p / own for p, own in zip(plain.ms, tally.ms, strict=True)])), 2),
    }


def is_lossless(batch: Figures) -> bool:
    """Did every drafter write plain greedy's tokens on every row?"""
    return all(drafter["same_rows"] == batch["rows"] for drafter in batch["drafters"].values())
