"""Drafts of several drafters in one tree, and each one's choices back to it."""

from collections.abc import Sequence

from qdts.models.decoding.drafting.base import NoDrafter
from qdts.models.decoding.drafting.combined import CombinedDrafter
from qdts.models.decoding.drafting.draft import UNKNOWN, Draft
from qdts.models.decoding.drafting.jacobi import JacobiDrafter


class Fixed(NoDrafter):
    """One draft, always; remembers what it was told."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens
        self.observed: list[list[int]] = []
        self.written: list[int] = []

    def draft(self, max_tokens: int) -> Draft:
        return Draft.chain(self.tokens[:max_tokens])

    def observe(self, choices: Sequence[int]) -> None:
        self.observed.append(list(choices))

    def extend(self, tokens: Sequence[int]) -> None:
        self.written += tokens


def test_branches_are_merged_in_order_within_the_budget() -> None:
    first, second = Fixed([1, 2]), Fixed([1, 3, 4])
    merged = CombinedDrafter([first, NoDrafter(), second]).draft(4)
    assert merged.tokens == [1, 2, 3]
    assert merged.parents == [-1, 0, 0]


def test_each_hears_of_its_own_tokens() -> None:
    first, second = Fixed([1, 2]), Fixed([1, 3])
    both = CombinedDrafter([first, second])
    both.draft(9)
    both.observe([10, 20, UNKNOWN])
    both.extend([1])
    assert first.observed == [[10, 20]] and second.observed == [[10, UNKNOWN]]
    assert first.written == second.written == [1]


def test_a_window_beside_a_copied_run_still_learns() -> None:
    window = JacobiDrafter([7], window=2, ngram=3)
    both = CombinedDrafter([Fixed([1, 2, 3]), window])
    before = window.draft(99).tokens
    draft = both.draft(99)
    both.observe([token + 1 for token in draft.tokens])
    assert window.draft(99).tokens != before
