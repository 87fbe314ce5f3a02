"""Drafts change the number of steps and nothing else."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.base import DecodingState, FreeState
from qdts.models.decoding.copying import CopySentence, CopyState
from qdts.models.decoding.greedy import GreedyDecoder
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, RuntimeInfo, States

END = 1
VOCAB = 12


@dataclass
class FakeBatch:
    """Per row its document, which seeds its choices, and the tokens in its cache."""

    documents: list[int]
    rows: list[list[int]]
    counts: list[list[int]] = field(default_factory=list)

    @property
    def lengths(self) -> Ids:
        return np.array([len(row) for row in self.rows])


class FakeRuntime:
    """The choice after some tokens is a hash of them: any slip in the cache changes what follows."""

    info = RuntimeInfo(name="fake", precision="none", device="none", num_threads=0)
    num_features = 0

    def encode(self, documents: Sequence[Ids]) -> list[States]:
        raise AssertionError("decoding encodes nothing")

    def start(self, states: Sequence[States], features: Sequence[Floats | None]) -> FakeBatch:
        raise AssertionError("decoding starts nothing")

    def step(self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None) -> Ids:
        assert allowed is not None and isinstance(batch, FakeBatch)
        chosen = np.full(tokens.shape, -1)
        batch.counts.append(counts.tolist())
        for row, (document, cache) in enumerate(zip(batch.documents, batch.rows, strict=True)):
            assert len(allowed[row]) == counts[row]
            for column in range(counts[row]):
                cache.append(int(tokens[row, column]))
                options = allowed[row][column]
                chosen[row, column] = self.choice(document, cache, range(VOCAB) if options is None else options)
        return chosen

    def choice(self, document: int, cache: Sequence[int], options: Sequence[int] | Ids) -> int:
        return min((int(i) for i in options), key=lambda i: zlib.crc32(str((document, cache, i)).encode()))

    def keep(self, batch: Batch, lengths: Ids) -> None:
        assert isinstance(batch, FakeBatch)
        assert (lengths <= batch.lengths).all()
        batch.rows = [row[:length] for row, length in zip(batch.rows, lengths, strict=True)]


class Drafting:
    """A state with drafts of its own, taken from `guesses` in turn."""

    def __init__(self, state: DecodingState, guesses: Sequence[Sequence[int]]) -> None:
        self.state = state
        self.guesses = list(guesses)
        self.finished = state.finished

    def copy(self) -> DecodingState:
        return self.state.copy()

    def allowed(self) -> Ids | None:
        return self.state.allowed()

    def advance(self, token: int) -> None:
        self.state.advance(token)
        self.finished = self.state.finished

    def draft(self, max_tokens: int) -> list[int]:
        return list(self.guesses.pop(0))[:max_tokens] if self.guesses else []


class Oracle(Drafting):
    """Drafts what plain decoding writes, each token spoilt where `spoils` says so."""

    def __init__(self, state: DecodingState, output: Sequence[int], spoils: Sequence[bool]) -> None:
        super().__init__(state, [])
        self.output, self.spoils, self.num_written = output, spoils, 0

    def advance(self, token: int) -> None:
        super().advance(token)
        self.num_written += 1

    def draft(self, max_tokens: int) -> list[int]:
        ahead = self.output[self.num_written :][:max_tokens]
        spoils = [*self.spoils, *[False] * len(self.output)][self.num_written :]
        return [token + 1 if spoil else token for token, spoil in zip(ahead, spoils, strict=False)]


def decode(
    states: Sequence[DecodingState],
    documents: Sequence[int] = (0,),
    *,
    max_tokens: int = 20,
    max_draft: int = 8,
) -> GreedyDecoder:
    prefixes = [np.array([0, *[3] * (document % 3)]) for document in documents]
    batch = FakeBatch(list(documents), [[] for _ in documents])
    decoder = GreedyDecoder(FakeRuntime(), batch, prefixes, states, max_tokens=max_tokens, max_draft=max_draft)
    while decoder.active:
        decoder.step()
    return decoder


def copying() -> CopyState:
    """Three sentences of words 2..11 but the markers 4, 5, 6."""
    rows = [(2, 3, 7, 8, 9, 2, 3, 10, 11, 7, 8), (9, 9, 9, 9, 9, 9), (10, 11, 2, 3, 7, 7, 7)]
    sentences = [
        CopySentence(
            marker=4 + index,
            ids=np.array(row),
            clause_ends=np.arange(len(row)) % 5 == 4,
            words_before=np.arange(len(row) + 1),
        )
        for index, row in enumerate(rows)
    ]
    return CopyState(sentences, END, 16, guess=0, trims=True)


STATES = {"free": lambda: FreeState(END), "copying": copying}
DOCUMENTS = st.integers(0, 200)


@pytest.mark.parametrize("kind", STATES)
@given(document=DOCUMENTS, guesses=st.lists(st.lists(st.integers(0, VOCAB - 1), max_size=10), max_size=20))
def test_any_draft_leaves_the_output_alone(kind: str, document: int, guesses: list[list[int]]) -> None:
    plain = decode([STATES[kind]()], [document], max_draft=0)
    drafted = decode([Drafting(STATES[kind](), guesses)], [document])
    assert drafted.rows[0].tokens == plain.rows[0].tokens
    assert drafted.num_steps <= plain.num_steps == len(plain.rows[0].tokens)


@pytest.mark.parametrize("kind", STATES)
@given(document=DOCUMENTS, max_draft=st.integers(0, 9), spoils=st.lists(st.booleans(), max_size=20))
def test_a_draft_that_is_partly_right_leaves_the_output_alone(
    kind: str, document: int, max_draft: int, spoils: list[bool]
) -> None:
    plain = decode([STATES[kind]()], [document], max_draft=0).rows[0].tokens
    oracle = Oracle(STATES[kind](), plain, spoils)
    assert decode([oracle], [document], max_draft=max_draft).rows[0].tokens == plain


@given(document=DOCUMENTS, max_draft=st.integers(0, 9))
def test_a_draft_that_is_right_saves_a_step_per_token(document: int, max_draft: int) -> None:
    plain = decode([FreeState(END)], [document], max_draft=0).rows[0].tokens
    decoder = decode([Oracle(FreeState(END), plain, [])], [document], max_draft=max_draft)
    assert decoder.num_steps == -(-len(plain) // (max_draft + 1))
    assert decoder.rows[0].num_accepted == decoder.rows[0].num_drafted <= len(plain)


@given(document=DOCUMENTS)
def test_the_constraint_s_own_drafts_leave_the_output_alone(document: int) -> None:
    assert decode([copying()], [document]).rows[0].tokens == decode([copying()], [document], max_draft=0).rows[0].tokens


@given(
    documents=st.lists(DOCUMENTS, min_size=2, max_size=5),
    cancelled=st.integers(0, 9),
    after=st.integers(0, 4),
)
def test_rows_do_not_disturb_one_another(documents: list[int], cancelled: int, after: int) -> None:
    alone = [decode([copying()], [document]).rows[0].tokens for document in documents]
    states = [copying() for _ in documents]
    batch = FakeBatch(documents, [[] for _ in documents])
    prefixes = [np.array([0, *[3] * (document % 3)]) for document in documents]
    decoder = GreedyDecoder(FakeRuntime(), batch, prefixes, states, max_tokens=20, max_draft=8)
    while decoder.active:
        if decoder.num_steps == after and cancelled < len(documents):
            decoder.cancel(cancelled)
        decoder.step()
    for index, (row, tokens) in enumerate(zip(decoder.rows, alone, strict=True)):
        assert row.tokens == (tokens[: len(row.tokens)] if index == cancelled else tokens)


def test_a_cancelled_row_costs_nothing_and_keeps_what_it_wrote() -> None:
    batch = FakeBatch([1, 2], [[], []])
    states = [FreeState(VOCAB), FreeState(VOCAB)]
    decoder = GreedyDecoder(FakeRuntime(), batch, [np.array([0])] * 2, states, max_tokens=5)
    decoder.step()
    decoder.cancel(0)
    assert decoder.active == (1,)
    decoder.step()
    assert batch.counts == [[1, 1], [0, 1]]
    assert [len(row.tokens) for row in decoder.rows] == [1, 2]
    decoder.cancel(1)
    decoder.step()
    assert decoder.num_steps == 2, "without an active row nothing happens"


@pytest.mark.parametrize("max_draft", [0, 3, 50])
def test_no_row_exceeds_max_tokens(max_draft: int) -> None:
    plain = decode([FreeState(VOCAB)], max_tokens=40, max_draft=0).rows[0].tokens
    decoder = decode([Oracle(FreeState(VOCAB), plain, [])], max_tokens=7, max_draft=max_draft)
    assert decoder.rows[0].tokens == plain[:7]
    assert decoder.active == ()


def test_what_is_left_in_the_cache_is_what_was_accepted() -> None:
    batch = FakeBatch([5], [[]])
    state = Drafting(FreeState(VOCAB), [[0, 0, 0]] * 9)
    decoder = GreedyDecoder(FakeRuntime(), batch, [np.array([0, 3])], [state], max_tokens=9, max_draft=3)
    while decoder.active:
        decoder.step()
        row = decoder.rows[0]
        assert batch.rows[0] == [0, 3, *row.tokens[:-1]]
        assert row.pending == row.tokens[-1:]


def test_the_end_inside_a_draft_ends_the_row() -> None:
    class Fixed(FakeRuntime):
        def choice(self, document: int, cache: Sequence[int], options: Sequence[int] | Ids) -> int:
            return END if len(cache) == 3 else 7

    batch = FakeBatch([0], [[]])
    state = Drafting(FreeState(END), [[7, 7, END, 7, 7]])
    decoder = GreedyDecoder(Fixed(), batch, [np.array([0])], [state], max_tokens=20, max_draft=9)
    decoder.step()
    assert decoder.rows[0].tokens == [7, 7, END]
    assert decoder.active == ()
