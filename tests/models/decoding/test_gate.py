"""What is verified depends on what it costs and on how often drafts were right."""

from collections.abc import Sequence

import pytest

from qdts.models.decoding.costs import StepCosts
from qdts.models.decoding.drafting.draft import Draft, Odds
from qdts.models.decoding.gate import DraftGate, Offer
from qdts.models.decoding.tracker import DraftTracker

# Tokens nearly free, as where the machine waits for memory; and tokens dear, as where it computes.
FREE = StepCosts(batch_sizes=(1, 64), widths=(1, 64), ms=((1.0, 1.1), (1.2, 1.4)))
DEAR = StepCosts(batch_sizes=(1, 64), widths=(1, 64), ms=((1.0, 64.0), (64.0, 4096.0)))


def drafted(length: int, odds: Odds) -> Draft:
    return Draft.chain(range(length), odds)


def test_what_is_sure_is_always_verified() -> None:
    assert DraftGate(DEAR).limits([Offer(1, drafted(30, Odds.SURE)), Offer(1, Draft())]) == [30, 0]


def test_guesses_are_verified_where_tokens_are_cheap() -> None:
    for odds in (Odds.OPEN, Odds.CAN_WAIT):
        offers = [Offer(1, drafted(20, odds))] * 3
        assert DraftGate(DEAR, free_share=0.5, opening_share=0.5).limits(offers) == [0, 0, 0]
        assert min(DraftGate(FREE).limits(offers)) > 3


def test_a_guess_that_can_wait_is_weighed_against_the_step_it_saves() -> None:
    """Now: 30 tokens more, 30 ms; later: a step of 30 tokens, 30 ms, if the guess is right."""
    line = StepCosts(batch_sizes=(1, 2), widths=(1, 101), ms=((1.0, 101.0), (2.0, 202.0)))
    offers = [Offer(10, drafted(30, Odds.CAN_WAIT))]
    assert DraftGate(line, opening_share=0.9).limits(offers) == [0]
    half = StepCosts(batch_sizes=(1, 2), widths=(1, 101), ms=((51.0, 101.0), (102.0, 202.0)))
    assert DraftGate(half, opening_share=0.9).limits(offers) == [30]
    assert DraftGate(half, opening_share=0.1).limits(offers) == [0]


LINE = StepCosts(batch_sizes=(1, 2), widths=(1, 17), ms=((1.0, 5.0), (2.0, 10.0)))


def tell(gate: DraftGate, draft: Draft, written: Sequence[int], times: int) -> None:
    for _ in range(times):
        tracker = DraftTracker()
        tracker.watch(draft)
        tracker.follow(written, gate)


def test_drafts_that_are_always_right_or_wrong_are_learned() -> None:
    draft = drafted(16, Odds.OPEN)
    gate = DraftGate(LINE)
    tell(gate, draft, draft.tokens, 300)
    assert gate.limits([Offer(1, draft)]) == [16]
    tell(gate, draft, [99], 300)
    assert gate.limits([Offer(1, draft)]) == [0]


def test_a_draft_is_verified_as_far_as_it_has_been_right() -> None:
    draft = drafted(16, Odds.OPEN)
    gate = DraftGate(LINE)
    tell(gate, draft, [*draft.tokens[:6], 99], 300)
    assert gate.limits([Offer(1, draft)]) == [6]
    # Depths that short drafts never reach say nothing once their beginnings are wrong.
    tell(gate, draft, draft.tokens, 300)
    tell(gate, drafted(3, Odds.OPEN), [99], 300)
    assert gate.limits([Offer(1, draft)]) == [0]


def test_a_token_saves_its_own_sequences_part_of_a_step() -> None:
    """Widening by a token costs 2 ms more, a step of single tokens 8 ms, 1 ms for each of eight sequences."""
    costs = StepCosts(batch_sizes=(1, 8), widths=(1, 11), ms=((1.0, 1.25), (8.0, 28.0)))
    gate = DraftGate(costs, free_share=1.0)
    short = [Offer(1, drafted(1, Odds.OPEN)), *[Offer(1, Draft())] * 7]
    assert gate.limits(short) == [0] * 8
    # Three drafts of one step share its width: 3 ms for 2.
    assert gate.limits([*short[:1] * 3, *short[3:]]) == [1, 1, 1, *[0] * 5]
    # Where a run makes the step wide anyhow, verifying is free.
    assert gate.limits([*short[:7], Offer(1, drafted(5, Odds.SURE))]) == [1, *[0] * 6, 5]


def test_openings_are_learned_by_themselves() -> None:
    gate = DraftGate(StepCosts(batch_sizes=(1, 2), widths=(1, 101), ms=((51.0, 101.0), (102.0, 202.0))))
    opening = drafted(30, Odds.CAN_WAIT)
    offers = [Offer(10, opening)]
    tell(gate, opening, [99], 300)
    assert gate.limits(offers) == [0]
    # The sentence was the right one: that it was then cut is nothing against the opening.
    tell(gate, opening, [0, 99], 300)
    assert gate.limits(offers) == [30]
    before = gate.limits([Offer(1, drafted(16, Odds.OPEN))])
    tell(gate, Draft(), [1], 1)
    tell(gate, drafted(9, Odds.SURE), [99], 300)
    assert gate.limits([Offer(1, drafted(16, Odds.OPEN))]) == before


def test_one_opening_among_many_sequences_saves_no_whole_step() -> None:
    """Right, it spares the next step 30 ms of width and itself; the other seven go on."""
    costs = StepCosts(batch_sizes=(1, 8), widths=(1, 31), ms=((10.0, 40.0), (80.0, 110.0)))
    gate = DraftGate(costs, opening_share=0.5)
    opening = Offer(21, drafted(30, Odds.CAN_WAIT))
    assert gate.limits([opening] * 8) == [30] * 8  # 30 ms now against 110 later
    assert gate.limits([opening, *[Offer(1, Draft())] * 7])[0] == 0  # 30 ms now against 110 - 70


@pytest.mark.parametrize("odds", [Odds.OPEN, Odds.CAN_WAIT])
@pytest.mark.parametrize("size", [1, 8, 32])
def test_bad_drafts_cost_less_than_one_per_cent(odds: Odds, size: int) -> None:
    """By the gate's own table, its first guesses included."""
    costs = StepCosts(batch_sizes=(1, 32), widths=(1, 33), ms=((1.0, 2.0), (8.0, 60.0)))
    gate, watched = DraftGate(costs), [DraftTracker() for _ in range(size)]
    plain = spent = late = 0.0
    for number in range(4000):
        draft = drafted(24, odds)
        limit = gate.limits([Offer(1, draft)] * size)[0]
        plain += costs.step_ms(size, 1)
        spent += costs.step_ms(size, 1 + limit)
        late += limit if number > 1000 else 0
        for one in watched:
            one.watch(draft)
            one.follow([99], gate)
    assert plain <= spent < 1.01 * plain
    assert late == 0


@pytest.mark.parametrize("odds", [Odds.OPEN, Odds.CAN_WAIT])
def test_a_closed_gate_reopens_within_64_good_drafts(odds: Odds) -> None:
    """Half of the drafts must be right for them to pay."""
    costs = StepCosts(batch_sizes=(1, 2), widths=(1, 9), ms=((1.0, 5.0), (2.0, 10.0)))
    if odds == Odds.CAN_WAIT:
        costs = StepCosts(batch_sizes=(1, 2), widths=(1, 9), ms=((4.0, 8.0), (8.0, 16.0)))
    gate, draft = DraftGate(costs), drafted(8, odds)
    limits: list[int] = []
    for is_right in [False] * 1000 + [True] * 64:
        limits += gate.limits([Offer(1, draft)])
        tell(gate, draft, draft.tokens if is_right else [99], 1)
    assert limits[999] == 0
    assert limits[-1] > 0


def test_the_more_sequences_the_less_is_let_through() -> None:
    costs = StepCosts(batch_sizes=(1, 8), widths=(1, 32), ms=((1.0, 2.0), (3.0, 40.0)))
    gate = DraftGate(costs)
    one, eight = (gate.limits([Offer(1, drafted(24, Odds.OPEN))] * size)[0] for size in (1, 8))
    assert one > eight


def test_a_table_whose_wide_steps_cost_nothing_fails_no_request() -> None:
    """Measured on a busy machine, wider steps can come out cheaper, and beyond the table free."""
    noisy = StepCosts(batch_sizes=(1, 2), widths=(1, 9), ms=((4.0, 1.0), (4.0, 1.0)))
    assert noisy.step_ms(1, 40) == 0.0
    for odds in Odds:
        assert DraftGate(noisy).limits([Offer(40, drafted(20, odds))])[0] in range(21)
