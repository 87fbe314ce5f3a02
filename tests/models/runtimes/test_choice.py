"""The greedy choice: the highest score, and END against everything else together."""

import math

import numpy as np
import pytest

from qdts.models.runtimes.base import Floats, Ids, Noise
from qdts.models.runtimes.choice import Head, RowNoise, choose, greedy_choice, perturb
from qdts.models.tokenizer import END


class Scores(Head):
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
    unsorted = [[np.array([3, 2, 0]), np.array([3, 0, 2])]]
    assert choose(head, states(0, 1), np.array([2]), unsorted).tolist() == [[2, 0]]


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


@pytest.mark.parametrize(
    ("end_share", "expected"),
    [(0.55, END), (0.5, END), (0.45, 8), (0.0, 8)],
)
def test_the_end_is_chosen_where_stopping_is_at_least_as_likely_as_going_on(end_share: float, expected: int) -> None:
    """With 0.45 it is likelier than any one sentence, but not than that there is one more."""
    shares = [end_share, *(share * (1 - end_share) for share in (0.3, 0.4, 0.3))]
    scores = np.array([math.log(share) if share else -np.inf for share in shares]) + 3
    ids = np.array([END, 7, 8, 9])
    assert greedy_choice(ids, scores) == expected
    order = [2, 0, 3, 1]
    assert greedy_choice(ids[order], scores[order]) == expected


def test_the_end_against_one_is_a_plain_comparison() -> None:
    assert greedy_choice(np.array([END, 9]), np.array([1.0, 1.5], np.float32)) == 9
    assert greedy_choice(np.array([END, 9]), np.array([1.5, 1.5], np.float32)) == END


def test_large_scores_do_not_overflow() -> None:
    assert greedy_choice(np.array([END, 8, 9]), np.array([500.0, 500.0, 500.0], np.float32)) == 8


def test_one_option_and_an_end_alone() -> None:
    assert greedy_choice(np.array([9]), np.array([0.0], np.float32)) == 9
    assert greedy_choice(np.array([END]), np.array([0.0], np.float32)) == END


def test_through_choose_the_end_stands_against_all_the_others() -> None:
    head = Scores([[0, 2.0, 1.9, 1.8]])
    assert choose(head, states(0), np.array([1]), [[np.array([END, 2, 3])]]).tolist() == [[2]]
    assert choose(head, states(0), np.array([1]), [[np.array([END, 2])]]).tolist() == [[END]]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_perturbed_choices_are_draws_from_the_softmax(temperature: float) -> None:
    scores = np.log(np.array([0.5, 0.3, 0.2])).astype(np.float32)
    wanted = np.exp(scores / temperature) / np.exp(scores / temperature).sum()
    ids = np.array([3, 1024, 5000])
    counts = np.zeros(3)
    for seed in range(4000):
        counts[perturb(Noise(seed=seed, temperature=temperature), 7, scores, ids).argmax()] += 1
    # Chi-square with 2 degrees of freedom: above 13.8 once in a thousand.
    assert ((counts - 4000 * wanted) ** 2 / (4000 * wanted)).sum() < 13.8


def test_noise_belongs_to_seed_position_and_id() -> None:
    noise, zeros = Noise(seed=3, temperature=1.0), np.zeros(3000, np.float32)
    everything = perturb(noise, 5, zeros, None)
    few = np.array([2999, 4, 1030])
    assert perturb(noise, 5, zeros[:3], few).tolist() == everything[few].tolist()
    assert not np.array_equal(perturb(noise, 6, zeros, None), everything)
    assert not np.array_equal(perturb(Noise(seed=4, temperature=1.0), 5, zeros, None), everything)


def test_rows_that_sample_and_rows_that_do_not_share_a_step() -> None:
    head = Scores([[0.0, 1.0, 2.0, 1.9]])
    noise = Noise(seed=0, temperature=1e-6)  # as good as greedy, but for END, which has no privilege
    rows = RowNoise([noise, None], np.zeros((2, 1), np.int64))
    ids = np.array([END, 2, 3])
    both = np.zeros((2, 1, 1), np.float32)
    assert choose(head, both, np.array([1, 1]), [[ids], [ids]], rows).tolist() == [[2], [2]]
    assert choose(head, both, np.array([1, 1]), [[np.array([0, 1])], [None]], rows).tolist() == [[1], [2]]
    assert choose(head, both, np.array([1, 1]), None, rows).tolist() == [[2], [2]]


@pytest.mark.parametrize(("seed", "temperature", "message"), [(-1, 1.0, "seed must"), (0, 0.0, "temperature must")])
def test_bad_noise_is_named(seed: int, temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Noise(seed=seed, temperature=temperature)
