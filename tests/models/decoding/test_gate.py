"""What is verified depends on what it costs and on how often drafts were right."""

from qdts.models.decoding.costs import StepCosts
from qdts.models.decoding.drafting.draft import Draft, Odds
from qdts.models.decoding.gate import DraftGate, Offer

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


def test_drafts_that_are_always_right_or_wrong_are_learned() -> None:
    offers = [Offer(1, drafted(16, Odds.OPEN))]
    costs = StepCosts(batch_sizes=(1, 2), widths=(1, 17), ms=((1.0, 5.0), (2.0, 10.0)))
    gate = DraftGate(costs)
    for _ in range(300):
        gate.learn(drafted(16, Odds.OPEN), 16)
    assert gate.limits(offers) == [16]
    for _ in range(300):
        gate.learn(drafted(16, Odds.OPEN), 0)
    assert gate.limits(offers) == [0]


def test_openings_are_learned_by_themselves() -> None:
    gate = DraftGate(StepCosts(batch_sizes=(1, 2), widths=(1, 101), ms=((51.0, 101.0), (102.0, 202.0))))
    offers = [Offer(10, drafted(30, Odds.CAN_WAIT))]
    for _ in range(300):
        gate.learn(drafted(30, Odds.CAN_WAIT), 0)
    assert gate.limits(offers) == [0]
    for _ in range(300):
        gate.learn(drafted(30, Odds.CAN_WAIT), 30)
    assert gate.limits(offers) == [30]
    before = gate.limits([Offer(1, drafted(16, Odds.OPEN))])
    gate.learn(Draft(), 0)
    gate.learn(drafted(9, Odds.SURE), 0)
    assert gate.limits([Offer(1, drafted(16, Odds.OPEN))]) == before


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
