"""Rows of a batch come, go, are cancelled and count their own steps."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.base import FreeState
from qdts.models.decoding.drafting.draft import Draft
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.runtimes.base import States

VOCAB = 12
DOCUMENTS = st.integers(0, 200)


@given(
    documents=st.lists(DOCUMENTS, min_size=2, max_size=5),
    cancelled=st.integers(0, 9),
    after=st.integers(0, 4),
    guesses=st.lists(st.lists(st.from_type(Draft), max_size=9), min_size=5, max_size=5),
)
def test_rows_do_not_disturb_one_another(
    kit: Any, documents: list[int], cancelled: int, after: int, guesses: list[list[Draft]]
) -> None:
    alone = [kit.decode([kit.copying()], [document]).rows[0].tokens for document in documents]
    drafters = [kit.Guessing(own) for own in guesses[: len(documents)]]
    decoder = kit.open_decoder([kit.copying() for _ in documents], documents, drafters)
    while decoder.active:
        if decoder.num_steps == after and cancelled < len(documents):
            decoder.cancel(cancelled)
        decoder.step()
    for index, (row, tokens) in enumerate(zip(decoder.rows.values(), alone, strict=True)):
        assert row.tokens == (tokens[: len(row.tokens)] if index == cancelled else tokens)


@given(
    first=st.lists(DOCUMENTS, min_size=1, max_size=3),
    turns=st.lists(st.tuples(st.lists(DOCUMENTS, max_size=2), st.sets(st.integers(0, 9), max_size=3)), max_size=9),
    guesses=st.lists(st.from_type(Draft), max_size=9),
)
def test_rows_come_and_go_between_steps(
    kit: Any, first: list[int], turns: list[tuple[list[int], set[int]]], guesses: list[Draft]
) -> None:
    documents, cancelled = list(first), set[int]()
    batch = kit.Batch(list(first), [[] for _ in first])
    opened = [Row([0, *[3] * (document % 3)], kit.copying(), kit.Guessing(guesses)) for document in first]
    decoder = GreedyDecoder(kit.Runtime(), batch, opened, max_tokens=20, max_draft=8)
    for joining, leaving in [*turns, *[([], set[int]())] * 20]:
        rows = [Row([0, *[3] * (document % 3)], kit.copying(), kit.Guessing(guesses)) for document in joining]
        states = [States(hidden=np.full((1, 1), document, np.float32)) for document in joining]
        expected = [len(documents) + place for place in range(len(rows))]
        assert (decoder.join(rows, states, [None] * len(rows)) if rows else []) == expected
        documents += joining
        for index in leaving & {*decoder.active}:
            decoder.cancel(index)
            cancelled.add(index)
        active, num_steps = decoder.active, len(batch.counts)
        decoder.step()
        computed = batch.counts[num_steps:]
        assert [len(counts) for counts in computed] == ([len(active)] if active else [])
        assert all(count for counts in computed for count in counts), "no row is there for nothing"
    assert decoder.active == ()
    for index, document in enumerate(documents):
        plain = kit.decode([kit.copying()], [document], max_draft=0).rows[0].tokens
        tokens = decoder.rows[index].tokens
        assert tokens == (plain[: len(tokens)] if index in cancelled else plain)


def test_a_row_is_there_until_it_is_released(kit: Any) -> None:
    decoder = kit.open_decoder([FreeState(VOCAB) for _ in range(2)], [1, 2], max_tokens=3)
    while decoder.active:
        decoder.step()
    assert [len(row.tokens) for row in decoder.rows.values()] == [3, 3]
    decoder.release(0)
    assert [*decoder.rows] == [1]
    states = [States(hidden=np.full((1, 1), 5, np.float32))]
    assert decoder.join([Row([0], FreeState(VOCAB))], states, [None]) == [2], "no index comes again"
    decoder.release(2)
    decoder.step()
    assert decoder.num_steps == 3, "what is released while it is written costs nothing either"


def test_each_row_counts_the_steps_it_had_a_part_in(kit: Any) -> None:
    decoder = kit.open_decoder([FreeState(VOCAB)], [1], max_tokens=3)
    decoder.step()
    decoder.join([Row([0], FreeState(VOCAB))], [States(hidden=np.full((1, 1), 5, np.float32))], [None])
    while decoder.active:
        decoder.step()
    assert [row.num_steps for row in decoder.rows.values()] == [3, 3]
    assert decoder.num_steps == 4


def test_a_cancelled_row_costs_nothing_and_keeps_what_it_wrote(kit: Any) -> None:
    batch = kit.Batch([1, 2], [[], []])
    rows = [Row([0], FreeState(VOCAB)) for _ in range(2)]
    decoder = GreedyDecoder(kit.Runtime(), batch, rows, max_tokens=5)
    decoder.step()
    decoder.cancel(0)
    assert decoder.active == (1,)
    decoder.step()
    assert batch.counts == [[1, 1], [1]]
    assert [len(row.tokens) for row in decoder.rows.values()] == [1, 2]
    decoder.cancel(1)
    decoder.step()
    assert decoder.num_steps == 2, "without an active row nothing happens"
