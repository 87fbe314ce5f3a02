"""How far a draft was right, told by what was written over several steps."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.drafting.draft import Draft, Odds
from qdts.models.decoding.tracker import DraftTracker


class Told:
    def __init__(self) -> None:
        self.outcomes: list[tuple[Odds, int, bool]] = []

    def learn(self, odds: Odds, depth: int, is_right: bool) -> None:
        self.outcomes.append((odds, depth, is_right))


def outcomes(draft: Draft, *written: Sequence[int]) -> list[tuple[int, bool]]:
    tracker, told = DraftTracker(), Told()
    tracker.watch(draft)
    for tokens in written:
        tracker.follow(tokens, told)
    assert {odds for odds, _, _ in told.outcomes} <= {draft.odds}
    return [(depth, is_right) for _, depth, is_right in told.outcomes]


def test_until_it_is_wrong_or_at_its_end() -> None:
    draft = Draft.chain([5, 6, 7], Odds.CAN_WAIT)
    assert outcomes(draft, [5, 6, 7, 8]) == [(0, True), (1, True), (2, True)]
    assert outcomes(draft, [5, 9, 7]) == [(0, True), (1, False)]
    assert outcomes(draft, [9, 5]) == [(0, False)]
    assert outcomes(Draft(), [9]) == []


def test_a_tree_is_right_where_a_branch_is() -> None:
    tree = Draft([5, 8, 6, 9], [-1, -1, 0, 1])
    assert outcomes(tree, [8, 9, 1]) == [(0, True), (1, True)]
    assert outcomes(tree, [8, 6]) == [(0, True), (1, False)]


@given(
    guess=st.lists(st.integers(0, 2), max_size=8),
    written=st.lists(st.integers(0, 2), max_size=10),
    cuts=st.lists(st.integers(0, 10), max_size=4),
)
def test_it_makes_no_difference_in_how_many_steps_it_was_written(
    guess: list[int], written: list[int], cuts: list[int]
) -> None:
    places = [0, *sorted(cuts), len(written)]
    parts = [written[first:last] for first, last in zip(places, places[1:], strict=False)]
    draft = Draft.chain(guess)
    num_right = next((n for n, pair in enumerate(zip(guess, written, strict=False)) if pair[0] != pair[1]), None)
    expected = [(depth, depth != num_right) for depth in range(min(len(guess), len(written)))]
    assert outcomes(draft, *parts) == expected[: None if num_right is None else num_right + 1]


def test_one_draft_at_a_time() -> None:
    tracker, told = DraftTracker(), Told()
    for draft, written in [([5, 6], [5]), ([6, 7], [6]), ([7, 8], [9]), ([1], [1])]:
        tracker.watch(Draft.chain(draft))
        tracker.follow(written, told)
    assert [(depth, is_right) for _, depth, is_right in told.outcomes] == [(0, True), (1, True), (0, False), (0, True)]
