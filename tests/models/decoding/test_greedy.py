"""Drafts change the number of steps and nothing else."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.base import FreeState
from qdts.models.decoding.drafting.draft import ROOT, UNKNOWN, Draft
from qdts.models.decoding.drafting.pieces import PieceDrafter
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.runtimes.base import Ids

END = 1
VOCAB = 12
DOCUMENTS = st.integers(0, 200)


@st.composite
def trees(draw: st.DrawFn) -> Draft:
    """As a drafter makes them: siblings differ."""
    raw, tree = draw(st.from_type(Draft)), Draft()
    for token, parent in zip(raw.tokens, raw.parents, strict=True):
        tree.add(token, min(parent, len(tree) - 1))
    return tree


@pytest.mark.parametrize("kind", ["free", "copying"])
@given(document=DOCUMENTS, guesses=st.lists(st.from_type(Draft), max_size=20))
def test_no_draft_whatever_it_is_changes_the_output(kit: Any, kind: str, document: int, guesses: list[Draft]) -> None:
    plain = kit.decode([kit.states[kind]()], [document], max_draft=0)
    drafted = kit.decode([kit.states[kind]()], [document], [kit.Guessing(guesses)])
    assert drafted.rows[0].tokens == plain.rows[0].tokens
    assert drafted.num_steps <= plain.num_steps == len(plain.rows[0].tokens)


@pytest.mark.parametrize("kind", ["free", "copying"])
@given(document=DOCUMENTS, max_draft=st.integers(0, 9), spoils=st.lists(st.booleans(), max_size=20))
def test_a_draft_that_is_partly_right_leaves_the_output_alone(
    kit: Any, kind: str, document: int, max_draft: int, spoils: list[bool]
) -> None:
    plain = kit.decode([kit.states[kind]()], [document], max_draft=0).rows[0].tokens
    drafted = kit.decode([kit.states[kind]()], [document], [kit.Oracle(plain, spoils)], max_draft=max_draft)
    assert drafted.rows[0].tokens == plain


@given(document=DOCUMENTS, max_draft=st.integers(0, 9))
def test_a_draft_that_is_right_saves_a_step_per_token(kit: Any, document: int, max_draft: int) -> None:
    plain = kit.decode([FreeState(END)], [document], max_draft=0).rows[0].tokens
    decoder = kit.decode([FreeState(END)], [document], [kit.Oracle(plain, [])], max_draft=max_draft)
    assert decoder.num_steps == -(-len(plain) // (max_draft + 1))
    assert decoder.rows[0].num_accepted == decoder.rows[0].num_drafted <= len(plain)


@given(document=DOCUMENTS)
def test_a_branch_that_is_right_is_accepted_wherever_it_stands(kit: Any, document: int) -> None:
    """The right tokens behind wrong siblings: as many steps as a draft that is right alone."""
    plain = kit.decode([FreeState(END)], [document], max_draft=0).rows[0].tokens[:4]
    tree, parent = Draft(), ROOT
    for token in plain:
        tree.add((token + 1) % VOCAB, parent)
        parent = tree.add(token, parent)
    decoder = kit.open_decoder([FreeState(END)], [document], [kit.Guessing([tree])])
    decoder.step()
    assert decoder.rows[0].tokens[: len(plain)] == plain
    assert decoder.rows[0].num_accepted == len(plain)


@given(document=DOCUMENTS, guesses=st.lists(trees(), min_size=1, max_size=20))
def test_a_drafter_is_told_what_was_written_and_what_the_net_would_have_said(
    kit: Any, document: int, guesses: list[Draft]
) -> None:
    drafter = kit.Guessing(guesses)
    decoder = kit.open_decoder([FreeState(VOCAB)], [document], [drafter])
    runtime, seen = kit.Runtime(), [0, *[3] * (document % 3)]
    for guess in guesses:
        if not decoder.active:
            break
        room = min(8, 20 - len(drafter.written) - 1)
        before = [*seen, *drafter.written]
        decoder.step()
        expected: list[list[int]] = []
        for token, parent in zip(guess.tokens[:room], guess.parents[:room], strict=True):
            expected.append([*(expected[parent] if parent != ROOT else []), token])
        told = [runtime.choice(document, [*before, *path], range(VOCAB)) for path in expected]
        assert drafter.observed[-1] == told
    assert drafter.written == decoder.rows[0].tokens


def test_what_the_grammar_forbids_is_not_asked(kit: Any) -> None:
    forbidden = Draft([0, 7, 4, 2, 3], [ROOT, 0, ROOT, 2, 2])  # 4 is a marker; only 2 or a clause's start may follow
    drafter = kit.Guessing([forbidden])
    decoder = kit.open_decoder([kit.copying()], [1], [drafter])
    decoder.step()
    assert [choice == UNKNOWN for choice in drafter.observed[0]] == [True, True, False, False, True]


@given(document=DOCUMENTS)
def test_the_constraint_s_own_drafts_leave_the_output_alone(kit: Any, document: int) -> None:
    plain = kit.decode([kit.copying()], [document], max_draft=0)
    for guesses in ([], [0], [2, 0, 1]):
        state = kit.copying()
        drafted = kit.decode([state], [document], [PieceDrafter(state, guesses)], max_draft=40)
        assert drafted.rows[0].tokens == plain.rows[0].tokens
        assert drafted.num_steps < plain.num_steps


@pytest.mark.parametrize("max_draft", [0, 3, 50])
def test_no_row_exceeds_max_tokens(kit: Any, max_draft: int) -> None:
    plain = kit.decode([FreeState(VOCAB)], max_tokens=40, max_draft=0).rows[0].tokens
    decoder = kit.decode([FreeState(VOCAB)], (0,), [kit.Oracle(plain, [])], max_tokens=7, max_draft=max_draft)
    assert decoder.rows[0].tokens == plain[:7]
    assert decoder.active == ()


@given(guesses=st.lists(st.from_type(Draft), max_size=9))
def test_what_is_left_in_the_cache_is_what_was_accepted(kit: Any, guesses: list[Draft]) -> None:
    batch = kit.Batch([5], [[]])
    rows = [Row([0, 3], FreeState(VOCAB), kit.Guessing(guesses))]
    decoder = GreedyDecoder(kit.Runtime(), batch, rows, max_tokens=9, max_draft=3)
    while decoder.active:
        decoder.step()
        row = decoder.rows[0]
        assert batch.rows[0] == [0, 3, *row.tokens[:-1]]
        assert row.pending == row.tokens[-1:]


def test_the_end_inside_a_draft_ends_the_row(kit: Any) -> None:
    class Fixed(kit.Runtime):
        def choice(self, document: int, cache: Sequence[int], options: Sequence[int] | Ids) -> int:
            return END if len(cache) == 3 else 7

    batch = kit.Batch([0], [[]])
    rows = [Row([0], FreeState(END), kit.Guessing([Draft.chain([7, 7, END, 7, 7])]))]
    decoder = GreedyDecoder(Fixed(), batch, rows, max_tokens=20, max_draft=9)
    decoder.step()
    assert decoder.rows[0].tokens == [7, 7, END]
    assert decoder.active == ()
