"""Span corruption: the encoder reads text with holes, the decoder writes what was in them.

Raffel et al. 2020 (arXiv 1910.10683), section 3.1.4: 15 % of the tokens, in spans of 3 on average, each replaced by
one sentinel; the target is each sentinel followed by its span. The sentinels are the sentence markers, in
ascending order from a random one. Knows nothing of where windows come from.

Shapes: B windows · W tokens of one · K spans.
"""

import numpy as np
import numpy.typing as npt

from qdts.models.runtimes.base import Ids
from qdts.models.tokenizer import DOCUMENT, END, FIRST_MARKER, NUM_MARKERS, PAD
from qdts.models.training.sequence import SequenceBatch


class SpanCorruption:
    """Windows as large as still fit in `encoder_tokens` once their spans are single sentinels."""

    name = "spans"

    def __init__(self, encoder_tokens: int, density: float = 0.15, mean_span: float = 3.0) -> None:
        if not 0.0 < density <= 0.5:
            raise ValueError(f"noise_density must lie in (0, 0.5], is {density}")
        self._density, self._mean_span = density, mean_span
        self.window = max((w for w in range(2, 2 * encoder_tokens) if self._encoded(w) <= encoder_tokens), default=0)
        if not self.window or self._num_spans(self.window) > NUM_MARKERS:
            raise ValueError(
                f"encoder_tokens must leave 1 to {NUM_MARKERS} spans of {mean_span} tokens, is {encoder_tokens}"
            )

    def make(self, windows: Ids, rng: np.random.Generator) -> SequenceBatch:
        """(B, W) -> encoder (B, 1 + W - noise + K), decoder (B, K + noise + 1): no row has padding."""
        num_rows, num_spans = len(windows), self._num_spans(self.window)
        is_noise = noise_mask(num_rows, self.window, self._num_noise(self.window), num_spans, rng)
        is_first = is_noise & ~np.pad(is_noise, ((0, 0), (1, 0)))[:, :-1]
        offset = rng.integers(0, NUM_MARKERS - num_spans + 1, (num_rows, 1))
        sentinels = FIRST_MARKER + offset + is_first.cumsum(axis=1) - 1
        kept = np.where(is_first, sentinels, windows)[~is_noise | is_first].reshape(num_rows, -1)
        return SequenceBatch(
            ids=_beside(kept, first=DOCUMENT),
            tokens=_beside(self._spans(windows, is_noise, is_first, sentinels), first=PAD),
            labels=_beside(self._spans(windows, is_noise, is_first, sentinels), last=END),
        )

    def _spans(
        self, windows: Ids, is_noise: npt.NDArray[np.bool_], is_first: npt.NDArray[np.bool_], sentinels: Ids
    ) -> Ids:
        """Each sentinel and its span, row by row: (B, K + noise)."""
        # The first token of a span stands twice in a row, once for its sentinel.
        counts = (is_noise.astype(np.int64) + is_first).reshape(-1)
        written = np.repeat(windows.reshape(-1), counts)
        ends = counts.cumsum()
        written[(ends - counts)[is_first.reshape(-1)]] = sentinels[is_first]
        return written.reshape(len(windows), -1)

    def _num_noise(self, window: int) -> int:
        return min(max(round(window * self._density), 1), window - 1)

    def _num_spans(self, window: int) -> int:
        # No more spans than tokens outside of them: each is preceded by one.
        num_noise = self._num_noise(window)
        return max(1, min(round(num_noise / self._mean_span), num_noise, window - num_noise))

    def _encoded(self, window: int) -> int:
        return 1 + window - self._num_noise(window) + self._num_spans(window)


def noise_mask(
    num_rows: int, window: int, num_noise: int, num_spans: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """(B, W) with `num_noise` true in `num_spans` runs per row, each way to place them as likely as any other."""
    kept = _random_partition(num_rows, window - num_noise, num_spans, rng)
    noise = _random_partition(num_rows, num_noise, num_spans, rng)
    lengths = np.stack([kept, noise], axis=2).reshape(-1)  # kept, noise, kept, noise, ...
    kinds = np.tile(np.array([False, True]), num_rows * num_spans)
    return np.repeat(kinds, lengths).reshape(num_rows, window)


def _random_partition(num_rows: int, total: int, num_parts: int, rng: np.random.Generator) -> Ids:
    """(B, K) of whole numbers from 1 that sum to `total` in each row."""
    is_cut = np.zeros((num_rows, total - 1), np.bool_)
    is_cut[:, : num_parts - 1] = True
    cuts = np.nonzero(rng.permuted(is_cut, axis=1))[1].reshape(num_rows, num_parts - 1) + 1
    return np.diff(cuts, axis=1, prepend=0, append=total)


def _beside(rows: Ids, *, first: int | None = None, last: int | None = None) -> Ids:
    """Each row with an id before or after it."""
    width = ((0, 0), (int(first is not None), int(last is not None)))
    return np.pad(rows, width, constant_values=first if first is not None else last or 0)
