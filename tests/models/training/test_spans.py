"""Nothing is lost: a window can be put together again from what is read and what is written."""

import numpy as np
import pytest

from qdts.models.tokenizer import DOCUMENT, END, FIRST_MARKER, NUM_MARKERS, PAD
from qdts.models.training.sequence import SequenceBatch
from qdts.models.training.spans import SpanCorruption, noise_mask


def is_sentinel(ids: np.ndarray) -> np.ndarray:
    return (ids >= FIRST_MARKER) & (ids < FIRST_MARKER + NUM_MARKERS)


def windows(objective: SpanCorruption, num_rows: int) -> np.ndarray:
    return np.random.default_rng(9).integers(100, 5000, (num_rows, objective.window))


def put_together(batch: SequenceBatch, row: int) -> list[int]:
    labels = batch.labels[row, :-1]
    spans = {int(piece[0]): piece[1:].tolist() for piece in np.split(labels, np.flatnonzero(is_sentinel(labels)))[1:]}
    whole: list[int] = []
    for token in batch.ids[row, 1:].tolist():
        whole += spans.pop(token) if token in spans else [token]
    assert not spans
    return whole


@pytest.mark.parametrize(
    ("encoder_tokens", "density", "mean_span"),
    [(512, 0.15, 3.0), (16, 0.15, 3.0), (64, 0.5, 1.0), (200, 0.3, 10.0), (40, 0.5, 3.0)],
)
def test_windows_can_be_put_together_again(encoder_tokens: int, density: float, mean_span: float) -> None:
    objective = SpanCorruption(encoder_tokens, density, mean_span)
    raw = windows(objective, 20)
    batch = objective.make(raw, np.random.default_rng(0))
    assert [put_together(batch, row) for row in range(20)] == raw.tolist()
    assert encoder_tokens - 1 <= batch.ids.shape[1] <= encoder_tokens
    assert (batch.ids[:, 0] == DOCUMENT).all() and (batch.labels[:, -1] == END).all()
    assert (batch.tokens[:, 0] == PAD).all() and np.array_equal(batch.tokens[:, 1:], batch.labels[:, :-1])


def test_the_papers_shares() -> None:
    """15 % in spans of 3: of 512 tokens read, as many as the paper's recipe leaves; sentinels rise one by one."""
    objective = SpanCorruption(512)
    batch = objective.make(windows(objective, 500), np.random.default_rng(0))
    num_spans = is_sentinel(batch.ids).sum(axis=1)
    num_noise = batch.labels.shape[1] - 1 - num_spans
    assert batch.ids.shape[1] == 512
    assert num_noise / objective.window == pytest.approx(0.15, abs=0.002)
    assert num_noise / num_spans == pytest.approx(3.0, abs=0.1)
    sentinels = batch.ids[is_sentinel(batch.ids)].reshape(500, -1)
    assert (np.diff(sentinels, axis=1) == 1).all()
    assert sentinels.min() == FIRST_MARKER and sentinels.max() == FIRST_MARKER + NUM_MARKERS - 1


def test_runs_are_as_many_as_asked_for_and_lie_anywhere() -> None:
    mask = noise_mask(4000, 20, 6, 2, np.random.default_rng(0))
    assert (mask.sum(axis=1) == 6).all()
    assert ((mask[:, 1:] & ~mask[:, :-1]).sum(axis=1) == 2).all() and not mask[:, 0].any()
    # 5 ways to part the noise, 13 to part the rest: each as often as any other.
    _, counts = np.unique(mask, axis=0, return_counts=True)
    assert len(counts) == 65 and counts.min() > 30 and counts.max() < 100


@pytest.mark.parametrize(("encoder_tokens", "mean_span"), [(1, 3.0), (2000, 3.0), (512, 1.0)])
def test_more_spans_than_markers_are_refused(encoder_tokens: int, mean_span: float) -> None:
    with pytest.raises(ValueError, match=f"encoder_tokens must leave 1 to 64 spans .* is {encoder_tokens}"):
        SpanCorruption(encoder_tokens, 0.15, mean_span)
