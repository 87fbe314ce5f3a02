"""Steps timed as decoding takes them: what the runtime does, and what decoding itself does around it.

Shapes: B sequences · T tokens of a step, per sequence.
"""

import time
from collections.abc import Sequence

import numpy as np

from qdts.models.decoding.costs import WIDTHS, StepCosts, batch_sizes_up_to, without_noise
from qdts.models.decoding.drafting.base import NoDrafter
from qdts.models.decoding.drafting.draft import Draft
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.runtimes.base import Batch, Floats, Ids, Runtime

_TOKEN = 2  # any one will do


class _OneToken:
    """A grammar with one sentence, which has no end: nothing is ever scored."""

    finished = False
    _only: Ids = np.full(1, _TOKEN, np.int64)

    def copy(self) -> "_OneToken":
        """Itself: it does not change."""
        return self

    def allowed(self) -> Ids:
        """The token."""
        return self._only

    def advance(self, token: int) -> None:
        """To the same place."""


class _Chain(NoDrafter):
    """As many tokens as there is room for, all right."""

    def draft(self, max_tokens: int) -> Draft:
        """A chain."""
        return Draft.chain([_TOKEN] * max_tokens)


def measure_step_costs(
    runtime: Runtime,
    *,
    batch_sizes: Sequence[int] = batch_sizes_up_to(8),
    widths: Sequence[int] = WIDTHS,
    document_tokens: int = 400,
    repeats: int = 4,
) -> StepCosts:
    """The fastest of some repeats: what else runs on the machine only ever adds. Scores no token: that is the same for
    every width."""
    document = np.full(document_tokens, _TOKEN, np.int64)
    (states,) = runtime.encode([document])
    features: Floats | None = None
    if runtime.num_features:
        features = np.zeros((document_tokens, runtime.num_features), np.float32)
    measured: list[list[float]] = []
    for size in batch_sizes:
        batch = runtime.start([states] * size, [features] * size)
        # Repeats of one width lie apart in time: a slow phase of the machine does not hit them all.
        times = [[_step_ms(runtime, batch, size, width) for width in widths] for _ in range(repeats)]
        measured.append(np.min(times, axis=0).tolist())
    ms = tuple(map(tuple, without_noise(np.array(measured)).tolist()))
    return StepCosts(batch_sizes=tuple(batch_sizes), widths=tuple(widths), ms=ms)


def _step_ms(runtime: Runtime, batch: Batch, size: int, width: int) -> float:
    """One step of one pending token and `width` - 1 drafted ones per row; the batch is left as it was."""
    rows = [Row([_TOKEN], _OneToken(), _Chain()) for _ in range(size)]
    # One token more than the step writes: no row ends.
    decoder = GreedyDecoder(runtime, batch, rows, max_tokens=width + 1, max_draft=width - 1)
    started = time.perf_counter()
    decoder.step()
    elapsed = time.perf_counter() - started
    runtime.keep(batch, [np.zeros(0, np.int64)] * size)
    return 1000 * elapsed
