"""What every runtime does to a batch before the network: pad documents, lay out a step's tokens, close gaps. In numpy.

Shapes: B batch · S document tokens · T tokens of a step.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qdts.models.runtimes.base import Floats, Ids, Noise

Mask = npt.NDArray[np.bool_]


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


def lay_out(lengths: Ids, num_new: int, parents: Ids | None) -> tuple[Ids, Mask]:
    """Where T new tokens stand behind lengths (B,) kept ones, and which of one another they see.

    parents (B, T) as in `Runtime.step` -> positions (B, T), visible (B, T, T): token t sees u.
    """
    if parents is None:
        visible = np.broadcast_to(np.tri(num_new, dtype=np.bool_), (len(lengths), num_new, num_new))
        return lengths[:, None] + np.arange(num_new), visible
    assert (parents < np.arange(num_new)).all(), "a token follows one before it"
    visible = np.zeros((len(lengths), num_new, num_new), np.bool_)
    rows = np.arange(len(lengths))
    for token in range(num_new):
        parent = parents[:, token]
        visible[:, token] = visible[rows, parent] & (parent >= 0)[:, None]
        visible[:, token, token] = True
    return lengths[:, None] + visible.sum(-1) - 1, visible


def close_gaps(num_rows: int, leaving: Ids) -> Ids:
    """Which of the old rows each row that remains was: the last ones fill the gaps, the others stay where they are."""
    remains = np.ones(num_rows, np.bool_)
    remains[leaving] = False
    kept = np.arange(remains.sum())
    gaps = ~remains[: len(kept)]
    kept[gaps] = len(kept) + np.flatnonzero(remains[len(kept) :])
    return kept


def join_noise(
    held: Sequence[Noise | None], num_held: int, more: Sequence[Noise | None], num_more: int
) -> list[Noise | None]:
    """The noise of each row, or nothing where all are greedy."""
    joined = [*(held or [None] * num_held), *(more or [None] * num_more)]
    return joined if any(joined) else []


def take_noise(noise: Sequence[Noise | None], rows: Ids) -> list[Noise | None]:
    """That of some rows; nothing where all are greedy."""
    return [noise[int(row)] for row in rows] if noise else []
