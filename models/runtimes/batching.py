"""What every runtime does to a batch outside the network: pad documents, choose tokens. Plain numpy.

Shapes: B batch · S document tokens · T tokens of this step · N positions · C hidden · V vocabulary.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qdts.models.runtimes.base import Allowed, Floats, Ids

Mask = npt.NDArray[np.bool_]


class Head(Protocol):
    """Scores of vocabulary entries at decoder states."""

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        """(N, C) -> (N, len(ids)), or (N, V) where ids is None"""
        ...


def pad_ids(documents: Sequence[Ids]) -> tuple[Ids, Mask]:
    """Ids (S_i,) -> ids (B, S), 0 past the end, and mask (B, S), true at real tokens."""
    mask = length_mask([len(document) for document in documents])
    ids = np.zeros(mask.shape, np.int64)
    for row, document in zip(ids, documents, strict=True):
        row[: len(document)] = document
    return ids, mask


def pad_floats(rows: Sequence[Floats], axis: int) -> Floats:
    """Arrays that differ in length along `axis` -> one array with a leading B, 0 past the end."""
    if len(rows) == 1:
        return rows[0][None]
    shape = list(rows[0].shape)
    shape[axis] = max(row.shape[axis] for row in rows)
    out = np.zeros((len(rows), *shape), np.float32)
    for index, row in enumerate(rows):
        out[index].swapaxes(0, axis)[: row.shape[axis]] = row.swapaxes(0, axis)
    return out


def length_mask(lengths: Sequence[int]) -> Mask:
    """(B, max length), true before each row's length."""
    return np.arange(max(lengths))[None] < np.asarray(lengths)[:, None]


def choose(head: Head, hidden: Floats, counts: Ids, allowed: Allowed | None) -> Ids:
    """The greedy choice (B, T) after each of the first counts[b] states of hidden (B, T, C); 0 past them.

    The highest score wins among the permitted ids, the lowest id among equals. A set of one is not scored.
    """
    chosen = np.zeros(hidden.shape[:2], np.int64)
    free: list[tuple[int, int]] = []
    for row, count in enumerate(counts):
        for column in range(int(count)):
            ids = None if allowed is None else allowed[row][column]
            if ids is None:
                free.append((row, column))
            else:
                chosen[row, column] = _best(head, hidden[row, column], ids)
    if free:
        where = tuple(np.asarray(free).T)
        chosen[where] = head.scores(hidden[where], None).argmax(-1)
    return chosen


def _best(head: Head, state: Floats, ids: Ids) -> np.int64:
    assert len(ids), "an empty set of permitted ids leaves nothing to choose"
    if len(ids) == 1:
        return ids[0]
    scores = head.scores(state[None], ids)[0]
    return ids[scores == scores.max()].min()
