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
from qdts.models.decoding.costs import StepCosts
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.draft import ROOT, UNKNOWN, Draft
from qdts.models.decoding.drafting.pieces import PieceDrafter
from qdts.models.decoding.gate import DraftGate
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, Noise, RuntimeInfo, States

END = 1
VOCAB = 12


@dataclass
class FakeBatch:
    """Per row its document, which seeds its choices, and the tokens in its cache."""

    documents: list[int]
    rows: list[list[int]]
    counts: list[list[int]] = field(default_factory=list)
    new: list[list[int]] = field(default_factory=list)

    @property
    def lengths(self) -> Ids:
        return np.array([len(row) for row in self.rows])


class FakeRuntime:
    """The choice after some tokens is a hash of them: any slip in the cache changes what follows."""

    info = RuntimeInfo(name="fake", precision="none", device="none", num_threads=0)
    num_features = 0

    def encode(self, documents: Sequence[Ids]) -> list[States]:
        raise AssertionError("decoding encodes nothing")

    def start(
        self, states: Sequence[States], features: Sequence[Floats | None], noise: Sequence[Noise | None] = ()
    ) -> FakeBatch:
        raise AssertionError("decoding starts nothing")

    def join(
        self,
        batch: Batch,
        states: Sequence[States],
        features: Sequence[Floats | None],
        noise: Sequence[Noise | None] = (),
    ) -> None:
        assert isinstance(batch, FakeBatch) and len(states) == len(features)
        batch.documents += [int(one.hidden[0, 0]) for one in states]
        batch.rows += [[] for _ in states]

    def leave(self, batch: Batch, rows: Ids) -> Ids:
        """Those that remain change places."""
        assert isinstance(batch, FakeBatch)
        kept = [row for row in range(len(batch.rows)) if row not in rows][::-1]
        batch.documents = [batch.documents[row] for row in kept]
        batch.rows = [batch.rows[row] for row in kept]
        return np.array(kept, np.int64)

    def step(
        self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None, parents: Ids | None = None
    ) -> Ids:
        assert allowed is not None and isinstance(batch, FakeBatch)
        chosen = np.full(tokens.shape, -1)
        batch.counts.append(counts.tolist())
        batch.new = [row[:count].tolist() for row, count in zip(tokens, counts, strict=True)]
        for row, (document, kept) in enumerate(zip(batch.documents, batch.rows, strict=True)):
            assert len(allowed[row]) == counts[row]
            paths: list[list[int]] = []
            for column, token in enumerate(batch.new[row]):
                parent = column - 1 if parents is None else int(parents[row, column])
                paths.append([*(paths[parent] if parent >= 0 else []), token])
                options = allowed[row][column]
                seen = [*kept, *paths[-1]]
                chosen[row, column] = self.choice(document, seen, range(VOCAB) if options is None else options)
        return chosen

    def choice(self, document: int, cache: Sequence[int], options: Sequence[int] | Ids) -> int:
        return min((int(i) for i in options), key=lambda i: zlib.crc32(str((document, cache, i)).encode()))

    def keep(self, batch: Batch, columns: Sequence[Ids]) -> None:
        assert isinstance(batch, FakeBatch)
        for row, new, chosen in zip(batch.rows, batch.new, columns, strict=True):
            row += [new[column] for column in chosen]


class Guessing:
    """Drafts taken from `guesses` in turn; remembers what it was told."""

    def __init__(self, guesses: Sequence[Draft]) -> None:
        self.guesses = list(guesses)
        self.observed: list[list[int]] = []
        self.written: list[int] = []

    def draft(self, max_tokens: int) -> Draft:
        guess = self.guesses.pop(0) if self.guesses else Draft()
        return Draft(guess.tokens[:max_tokens], guess.parents[:max_tokens])

    def observe(self, choices: Sequence[int]) -> None:
        self.observed.append(list(choices))

    def extend(self, tokens: Sequence[int]) -> None:
        self.written += tokens


class Oracle(NoDrafter):
    """Drafts what plain decoding writes, each token spoilt where `spoils` says so."""

    def __init__(self, output: Sequence[int], spoils: Sequence[bool]) -> None:
        self.output, self.spoils, self.num_written = output, spoils, 0

    def extend(self, tokens: Sequence[int]) -> None:
        self.num_written += len(tokens)

    def draft(self, max_tokens: int) -> Draft:
        ahead = self.output[self.num_written :][:max_tokens]
        spoils = [*self.spoils, *[False] * len(self.output)][self.num_written :]
        return Draft.chain(token + 1 if spoil else token for token, spoil in zip(ahead, spoils, strict=False))


def decode(
    states: Sequence[DecodingState],
    documents: Sequence[int] = (0,),
    drafters: Sequence[Drafter] | None = None,
    *,
    max_tokens: int = 20,
    max_draft: int = 8,
    gate: DraftGate | None = None,
) -> GreedyDecoder:
    decoder = open_decoder(states, documents, drafters, max_tokens=max_tokens, max_draft=max_draft, gate=gate)
    while decoder.active:
        decoder.step()
    return decoder


def open_decoder(
    states: Sequence[DecodingState],
    documents: Sequence[int],
    drafters: Sequence[Drafter] | None = None,
    *,
    max_tokens: int = 20,
    max_draft: int = 8,
    gate: DraftGate | None = None,
) -> GreedyDecoder:
    drafters = drafters or [NoDrafter() for _ in states]
    told = zip(documents, states, drafters, strict=True)
    rows = [Row([0, *[3] * (document % 3)], state, drafter) for document, state, drafter in told]
    batch = FakeBatch(list(documents), [[] for _ in documents])
    return GreedyDecoder(FakeRuntime(), batch, rows, max_tokens=max_tokens, max_draft=max_draft, gate=gate)


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
    return CopyState(sentences, END, 16, trims=True)


STATES = {"free": lambda: FreeState(END), "copying": copying}
DOCUMENTS = st.integers(0, 200)


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Any tree over the vocabulary, siblings alike included."""
    tokens = draw(st.lists(st.integers(0, VOCAB - 1), max_size=9))
    return Draft(tokens, [draw(st.integers(-1, index - 1)) for index in range(len(tokens))])


@st.composite
def trees(draw: st.DrawFn) -> Draft:
    """As a drafter makes them: siblings differ."""
    raw, tree = draw(drafts()), Draft()
    for token, parent in zip(raw.tokens, raw.parents, strict=True):
        tree.add(token, min(parent, len(tree) - 1))
    return tree


@pytest.mark.parametrize("kind", STATES)
@given(document=DOCUMENTS, guesses=st.lists(drafts(), max_size=20))
def test_no_draft_whatever_it_is_changes_the_output(kind: str, document: int, guesses: list[Draft]) -> None:
    plain = decode([STATES[kind]()], [document], max_draft=0)
    drafted = decode([STATES[kind]()], [document], [Guessing(guesses)])
    assert drafted.rows[0].tokens == plain.rows[0].tokens
    assert drafted.num_steps <= plain.num_steps == len(plain.rows[0].tokens)


@pytest.mark.parametrize("kind", STATES)
@given(document=DOCUMENTS, max_draft=st.integers(0, 9), spoils=st.lists(st.booleans(), max_size=20))
def test_a_draft_that_is_partly_right_leaves_the_output_alone(
    kind: str, document: int, max_draft: int, spoils: list[bool]
) -> None:
    plain = decode([STATES[kind]()], [document], max_draft=0).rows[0].tokens
    drafted = decode([STATES[kind]()], [document], [Oracle(plain, spoils)], max_draft=max_draft)
    assert drafted.rows[0].tokens == plain


@given(document=DOCUMENTS, max_draft=st.integers(0, 9))
def test_a_draft_that_is_right_saves_a_step_per_token(document: int, max_draft: int) -> None:
    plain = decode([FreeState(END)], [document], max_draft=0).rows[0].tokens
    decoder = decode([FreeState(END)], [document], [Oracle(plain, [])], max_draft=max_draft)
    assert decoder.num_steps == -(-len(plain) // (max_draft + 1))
    assert decoder.rows[0].num_accepted == decoder.rows[0].num_drafted <= len(plain)


@given(document=DOCUMENTS)
def test_a_branch_that_is_right_is_accepted_wherever_it_stands(document: int) -> None:
    """The right tokens behind wrong siblings: as many steps as a draft that is right alone."""
    plain = decode([FreeState(END)], [document], max_draft=0).rows[0].tokens[:4]
    tree, parent = Draft(), ROOT
    for token in plain:
        tree.add((token + 1) % VOCAB, parent)
        parent = tree.add(token, parent)
    decoder = open_decoder([FreeState(END)], [document], [Guessing([tree])])
    decoder.step()
    assert decoder.rows[0].tokens[: len(plain)] == plain
    assert decoder.rows[0].num_accepted == len(plain)


@given(document=DOCUMENTS, guesses=st.lists(trees(), min_size=1, max_size=20))
def test_a_drafter_is_told_what_was_written_and_what_the_net_would_have_said(
    document: int, guesses: list[Draft]
) -> None:
    drafter = Guessing(guesses)
    decoder = open_decoder([FreeState(VOCAB)], [document], [drafter])
    runtime, seen = FakeRuntime(), [0, *[3] * (document % 3)]
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


def test_what_the_grammar_forbids_is_not_asked() -> None:
    forbidden = Draft([0, 7, 4, 2, 3], [ROOT, 0, ROOT, 2, 2])  # 4 is a marker; only 2 or a clause's start may follow
    drafter = Guessing([forbidden])
    decoder = open_decoder([copying()], [1], [drafter])
    decoder.step()
    assert [choice == UNKNOWN for choice in drafter.observed[0]] == [True, True, False, False, True]


@given(document=DOCUMENTS)
def test_the_constraint_s_own_drafts_leave_the_output_alone(document: int) -> None:
    plain = decode([copying()], [document], max_draft=0)
    for guesses in ([], [0], [2, 0, 1]):
        state = copying()
        drafted = decode([state], [document], [PieceDrafter(state, guesses)], max_draft=40)
        assert drafted.rows[0].tokens == plain.rows[0].tokens
        assert drafted.num_steps < plain.num_steps


@given(
    documents=st.lists(DOCUMENTS, min_size=2, max_size=5),
    cancelled=st.integers(0, 9),
    after=st.integers(0, 4),
    guesses=st.lists(st.lists(drafts(), max_size=9), min_size=5, max_size=5),
)
def test_rows_do_not_disturb_one_another(
    documents: list[int], cancelled: int, after: int, guesses: list[list[Draft]]
) -> None:
    alone = [decode([copying()], [document]).rows[0].tokens for document in documents]
    drafters = [Guessing(own) for own in guesses[: len(documents)]]
    decoder = open_decoder([copying() for _ in documents], documents, drafters)
    while decoder.active:
        if decoder.num_steps == after and cancelled < len(documents):
            decoder.cancel(cancelled)
        decoder.step()
    for index, (row, tokens) in enumerate(zip(decoder.rows.values(), alone, strict=True)):
        assert row.tokens == (tokens[: len(row.tokens)] if index == cancelled else tokens)


@given(
    first=st.lists(DOCUMENTS, min_size=1, max_size=3),
    turns=st.lists(st.tuples(st.lists(DOCUMENTS, max_size=2), st.sets(st.integers(0, 9), max_size=3)), max_size=9),
    guesses=st.lists(drafts(), max_size=9),
)
def test_rows_come_and_go_between_steps(
    first: list[int], turns: list[tuple[list[int], set[int]]], guesses: list[Draft]
) -> None:
    documents, cancelled = list(first), set[int]()
    batch = FakeBatch(list(first), [[] for _ in first])
    opened = [Row([0, *[3] * (document % 3)], copying(), Guessing(guesses)) for document in first]
    decoder = GreedyDecoder(FakeRuntime(), batch, opened, max_tokens=20, max_draft=8)
    for joining, leaving in [*turns, *[([], set[int]())] * 20]:
        rows = [Row([0, *[3] * (document % 3)], copying(), Guessing(guesses)) for document in joining]
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
        plain = decode([copying()], [document], max_draft=0).rows[0].tokens
        tokens = decoder.rows[index].tokens
        assert tokens == (plain[: len(tokens)] if index in cancelled else plain)


def test_a_row_is_there_until_it_is_released() -> None:
    decoder = open_decoder([FreeState(VOCAB) for _ in range(2)], [1, 2], max_tokens=3)
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


def test_each_row_counts_the_steps_it_had_a_part_in() -> None:
    decoder = open_decoder([FreeState(VOCAB)], [1], max_tokens=3)
    decoder.step()
    decoder.join([Row([0], FreeState(VOCAB))], [States(hidden=np.full((1, 1), 5, np.float32))], [None])
    while decoder.active:
        decoder.step()
    assert [row.num_steps for row in decoder.rows.values()] == [3, 3]
    assert decoder.num_steps == 4


def test_a_cancelled_row_costs_nothing_and_keeps_what_it_wrote() -> None:
    batch = FakeBatch([1, 2], [[], []])
    rows = [Row([0], FreeState(VOCAB)) for _ in range(2)]
    decoder = GreedyDecoder(FakeRuntime(), batch, rows, max_tokens=5)
    decoder.step()
    decoder.cancel(0)
    assert decoder.active == (1,)
    decoder.step()
    assert batch.counts == [[1, 1], [1]]
    assert [len(row.tokens) for row in decoder.rows.values()] == [1, 2]
    decoder.cancel(1)
    decoder.step()
    assert decoder.num_steps == 2, "without an active row nothing happens"


@pytest.mark.parametrize("max_draft", [0, 3, 50])
def test_no_row_exceeds_max_tokens(max_draft: int) -> None:
    plain = decode([FreeState(VOCAB)], max_tokens=40, max_draft=0).rows[0].tokens
    decoder = decode([FreeState(VOCAB)], (0,), [Oracle(plain, [])], max_tokens=7, max_draft=max_draft)
    assert decoder.rows[0].tokens == plain[:7]
    assert decoder.active == ()


@given(guesses=st.lists(drafts(), max_size=9))
def test_what_is_left_in_the_cache_is_what_was_accepted(guesses: list[Draft]) -> None:
    batch = FakeBatch([5], [[]])
    rows = [Row([0, 3], FreeState(VOCAB), Guessing(guesses))]
    decoder = GreedyDecoder(FakeRuntime(), batch, rows, max_tokens=9, max_draft=3)
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
    rows = [Row([0], FreeState(END), Guessing([Draft.chain([7, 7, END, 7, 7])]))]
    decoder = GreedyDecoder(Fixed(), batch, rows, max_tokens=20, max_draft=9)
    decoder.step()
    assert decoder.rows[0].tokens == [7, 7, END]
    assert decoder.active == ()


@pytest.mark.parametrize("ms", [((1.0, 1.1), (1.1, 1.2)), ((1.0, 30.0), (2.0, 60.0))])
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=4), guesses=st.lists(trees(), max_size=20))
def test_a_gate_changes_the_steps_alone(
    ms: tuple[tuple[float, float], tuple[float, float]], documents: list[int], guesses: list[Draft]
) -> None:
    gate = DraftGate(StepCosts(batch_sizes=(1, 4), widths=(1, 16), ms=ms))
    plain = decode([copying() for _ in documents], documents, max_draft=0)
    states = [copying() for _ in documents]
    drafters = [Guessing(guesses), *(PieceDrafter(state, [0, 2]) for state in states[1:])]
    gated = decode(states, documents, drafters, max_draft=40, gate=gate)
    assert [row.tokens for row in gated.rows.values()] == [row.tokens for row in plain.rows.values()]


def test_what_the_gate_holds_back_was_not_asked() -> None:
    gate = DraftGate(StepCosts(batch_sizes=(1, 2), widths=(1, 9), ms=((1.0, 900.0), (2.0, 900.0))))
    drafter = Guessing([Draft.chain([5, 6, 7])])
    decoder = open_decoder([FreeState(VOCAB)], [1], [drafter], gate=gate)
    decoder.step()
    assert drafter.observed == [[UNKNOWN] * 3]
    assert decoder.rows[0].num_drafted == 0


def test_a_gate_that_has_closed_notices_that_drafts_have_become_right() -> None:
    """Nothing is verified meanwhile: what is written tells."""
    gate = DraftGate(StepCosts(batch_sizes=(1, 2), widths=(1, 9), ms=((1.0, 3.0), (2.0, 6.0))))
    plain = decode([FreeState(VOCAB)], max_tokens=700, max_draft=0).rows[0].tokens
    drafter = Oracle(plain, [True] * 300)
    decoder = open_decoder([FreeState(VOCAB)], [0], [drafter], max_tokens=700, gate=gate)
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
