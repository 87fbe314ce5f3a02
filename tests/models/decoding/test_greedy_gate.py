"""A gate decides which drafts are worth a step, and changes nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.base import FreeState
from qdts.models.decoding.costs import StepCosts
from qdts.models.decoding.drafting.draft import UNKNOWN, Draft
from qdts.models.decoding.drafting.pieces import PieceDrafter
from qdts.models.decoding.gate import DraftGate

VOCAB = 12
DOCUMENTS = st.integers(0, 200)


@pytest.mark.parametrize("ms", [((1.0, 1.1), (1.1, 1.2)), ((1.0, 30.0), (2.0, 60.0))])
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=4), guesses=st.lists(st.from_type(Draft), max_size=20))
def test_a_gate_changes_the_steps_alone(
    kit: Any, ms: tuple[tuple[float, float], tuple[float, float]], documents: list[int], guesses: list[Draft]
) -> None:
    gate = DraftGate(StepCosts(batch_sizes=(1, 4), widths=(1, 16), ms=ms))
    plain = kit.decode([kit.copying() for _ in documents], documents, max_draft=0)
    states = [kit.copying() for _ in documents]
    drafters = [kit.Guessing(guesses), *(PieceDrafter(state, [0, 2]) for state in states[1:])]
    gated = kit.decode(states, documents, drafters, max_draft=40, gate=gate)
    assert [row.tokens for row in gated.rows.values()] == [row.tokens for row in plain.rows.values()]


def test_what_the_gate_holds_back_was_not_asked(kit: Any) -> None:
    gate = DraftGate(StepCosts(batch_sizes=(1, 2), widths=(1, 9), ms=((1.0, 900.0), (2.0, 900.0))))
    drafter = kit.Guessing([Draft.chain([5, 6, 7])])
    decoder = kit.open_decoder([FreeState(VOCAB)], [1], [drafter], gate=gate)
    decoder.step()
    assert drafter.observed == [[UNKNOWN] * 3]
    assert decoder.rows[0].num_drafted == 0


def test_a_gate_that_has_closed_notices_that_drafts_have_become_right(kit: Any) -> None:
    """Nothing is verified meanwhile: what is written tells."""
    gate = DraftGate(StepCosts(batch_sizes=(1, 2), widths=(1, 9), ms=((1.0, 3.0), (2.0, 6.0))))
    plain = kit.decode([FreeState(VOCAB)], max_tokens=700, max_draft=0).rows[0].tokens
    drafter = kit.Oracle(plain, [True] * 300)
    decoder = kit.open_decoder([FreeState(VOCAB)], [0], [drafter], max_tokens=700, gate=gate)
    row, drafted_at = decoder.rows[0], list[int]()
    while decoder.active:
        before = row.num_drafted
        decoder.step()
        if row.num_drafted > before:
            drafted_at.append(len(row.tokens))
    assert row.tokens == plain
    closed = [at for at in drafted_at if at < 300]
    assert closed and max(closed) < 100
    reopened = [at for at in drafted_at if at >= 300]
    assert reopened and 300 < min(reopened) < 700
    assert decoder.num_steps < 660
