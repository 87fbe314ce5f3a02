"""Padding and the greedy choice."""

import numpy as np
import pytest

from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.batching import choose, length_mask, pad_floats, pad_ids


class Scores:
    """A head whose scores are given: the states are row numbers."""

    def __init__(self, scores: list[list[float]]) -> None:
        self._scores = np.array(scores, np.float32)
        self.asked: list[Ids | None] = []

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        self.asked.append(ids)
        rows = self._scores[hidden[:, 0].astype(int)]
        return rows if ids is None else rows[:, ids]


def states(*numbers: int) -> Floats:
    return np.array(numbers, np.float32).reshape(1, -1, 1)


def test_the_lowest_id_wins_a_tie() -> None:
    head = Scores([[1, 3, 3, 3], [0, 0, 0, 0]])
    assert choose(head, states(0, 1), np.array([2]), None).tolist() == [[1, 0]]
    unsorted = [[np.array([3, 2, 0]), np.array([3, 1, 2])]]
    assert choose(head, states(0, 1), np.array([2]), unsorted).tolist() == [[2, 1]]


def test_a_set_of_one_is_not_scored() -> None:
    head = Scores([[1, 3, 3, 3]])
    assert choose(head, states(0), np.array([1]), [[np.array([0])]]).tolist() == [[0]]
    assert head.asked == []


def test_columns_past_the_count_are_left_alone() -> None:
    head = Scores([[0, 1]])
    assert choose(head, states(0, 7), np.array([1]), [[None]]).tolist() == [[1, 0]]


def test_an_empty_set_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="empty set"):
        choose(Scores([[0, 1]]), states(0), np.array([1]), [[np.array([], np.int64)]])


def test_ids_are_padded_with_a_mask() -> None:
    ids, mask = pad_ids([np.array([4, 5, 6]), np.array([7])])
    assert ids.tolist() == [[4, 5, 6], [7, 0, 0]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert length_mask([2, 0]).tolist() == [[True, True], [False, False]]


def test_floats_are_padded_along_an_axis() -> None:
    short, long = np.ones((2, 1, 3), np.float32), np.ones((2, 4, 3), np.float32)
    padded = pad_floats([short, long], axis=1)
    assert padded.shape == (2, 2, 4, 3)
    assert padded[0].sum() == short.sum()
    assert padded[0, :, 0].all()
