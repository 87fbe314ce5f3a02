"""A runtime whose choices are hashes of what it has seen, drafters that say what they are told, and any draft."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies as st

from qdts.models.decoding.base import DecodingState, FreeState
from qdts.models.decoding.copying import CopySentence, CopyState
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.draft import Draft
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


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Any tree over the vocabulary, siblings alike included."""
    tokens = draw(st.lists(st.integers(0, VOCAB - 1), max_size=9))
    return Draft(tokens, [draw(st.integers(-1, index - 1)) for index in range(len(tokens))])


st.register_type_strategy(Draft, drafts())


@pytest.fixture(name="kit", scope="session")
def _kit() -> SimpleNamespace:
    """What tests build with; importlib mode leaves no other way to share it."""
    return SimpleNamespace(
        Batch=FakeBatch,
        Runtime=FakeRuntime,
        Guessing=Guessing,
        Oracle=Oracle,
        decode=decode,
        open_decoder=open_decoder,
        copying=copying,
        states={"free": lambda: FreeState(END), "copying": copying},
    )
