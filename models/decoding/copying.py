"""The copy constraint: a summary is made of pieces of the document, each announced by its sentence's marker.

summary   := piece+ END
piece     := MARKER_i  tokens [a, b) of sentence i       i strictly increasing from piece to piece
a         is the sentence's start or follows a clause mark;   b is its end or follows a clause mark

The net decides which sentence, where to begin and where to stop; in between there is nothing to decide, so the run up
to the sentence's end is a draft that verification mostly accepts. Faithfulness holds by construction, whatever the
weights. Knows nothing of text: sentences are ids, clause ends and word counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qdts.models.runtimes.base import Ids

# A clause shorter than this is no piece: "However," alone says nothing.
MIN_PIECE_WORDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySentence:
    """Sentence i as the constraint sees it. Arrays are (T,).

    `clause_ends[t]`: a piece may end after token t.  `words_before[t]`: words that begin before token t;
    one more entry at the end holds the words of the sentence, so `words_before` is (T + 1,).
    """

    marker: int
    ids: Ids
    clause_ends: npt.NDArray[np.bool_]
    words_before: Ids

    def begins(self) -> list[int]:
        """Where a piece may begin: 0 and after each clause mark that leaves enough words."""
        total = int(self.words_before[-1])
        inner = np.flatnonzero(self.clause_ends[:-1]) + 1
        return [0, *(int(t) for t in inner if total - self.words_before[t] >= MIN_PIECE_WORDS)]

    def may_end(self, begin: int, end: int) -> bool:
        """May the piece [begin, end) stop here?"""
        if end == len(self.ids):
            return True
        words = int(self.words_before[end] - self.words_before[begin])
        return bool(self.clause_ends[end - 1]) and words >= MIN_PIECE_WORDS

    def last_end(self, begin: int, max_words: int) -> int:
        """The furthest end within `max_words`: the sentence's, else a clause's, else a word's; at least one token."""
        within = np.flatnonzero(self.words_before - self.words_before[begin] <= max_words)
        furthest = max(int(within[-1]), begin + 1)
        if furthest == len(self.ids):
            return furthest
        ends = [t for t in range(begin + 1, furthest + 1) if self.may_end(begin, t)]
        return ends[-1] if ends else furthest


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens [begin, end) of sentence `index`."""

    index: int
    begin: int
    end: int


@dataclass(slots=True)
class CopyState:
    """How far one summary has got; `advance` token by token, `copy` to look ahead."""

    sentences: Sequence[CopySentence]
    end_id: int
    max_words: int
    # The sentence most likely to be chosen first: a guess for the draft, nothing more.
    guess: int | None = None
    pieces: list[Piece] = field(default_factory=list[Piece])
    words_left: int = field(init=False)
    _open: int | None = None  # the sentence whose marker was written, its piece not begun
    finished: bool = False

    def __post_init__(self) -> None:
        self.words_left = self.max_words

    def copy(self) -> "CopyState":
        """An independent state at the same place."""
        twin = CopyState(self.sentences, self.end_id, self.max_words, self.guess, list(self.pieces))
        twin.words_left, twin._open, twin.finished = self.words_left, self._open, self.finished
        return twin

    def allowed(self) -> Ids:
        """The ids that may come next; never empty before END."""
        if self._open is not None:
            sentence = self.sentences[self._open]
            return np.unique(sentence.ids[sentence.begins()])
        if not self.pieces:
            return np.array([s.marker for s in self.sentences], np.int64)
        return self._after_token(self.pieces[-1])

    def _after_token(self, piece: Piece) -> Ids:
        sentence = self.sentences[piece.index]
        limit = sentence.last_end(piece.begin, self.words_left)
        options: list[int] = [] if piece.end >= limit else [int(sentence.ids[piece.end])]
        if piece.end >= limit or sentence.may_end(piece.begin, piece.end):
            options += [self.end_id, *self._next_markers(piece)]
        return np.array(options, np.int64)

    def _next_markers(self, piece: Piece) -> list[int]:
        """Markers of later sentences that still fit whole."""
        used = self.sentences[piece.index].words_before
        left = self.words_left - int(used[piece.end] - used[piece.begin])
        later = self.sentences[piece.index + 1 :]
        return [s.marker for s in later if int(s.words_before[-1]) <= left]

    def advance(self, token: int) -> None:
        """Take one allowed token."""
        if token == self.end_id:
            self.finished = True
        elif self._open is not None:
            self._begin_piece(token)
        elif self.pieces and token == self._continuation():
            last = self.pieces[-1]
            self.pieces[-1] = Piece(last.index, last.begin, last.end + 1)
        else:
            self._open_sentence(token)

    def _continuation(self) -> int | None:
        last = self.pieces[-1]
        ids = self.sentences[last.index].ids
        return int(ids[last.end]) if last.end < len(ids) else None

    def _begin_piece(self, token: int) -> None:
        assert self._open is not None
        ids = self.sentences[self._open].ids
        begin = next(t for t in self.sentences[self._open].begins() if int(ids[t]) == token)
        self.pieces.append(Piece(self._open, begin, begin + 1))
        self._open = None

    def _open_sentence(self, token: int) -> None:
        if self.pieces:
            last = self.pieces[-1]
            used = self.sentences[last.index].words_before
            self.words_left -= int(used[last.end] - used[last.begin])
        self._open = next(i for i, s in enumerate(self.sentences) if s.marker == token)

    def draft(self, max_tokens: int) -> list[int]:
        """The likeliest run from here: on to the furthest end of the open piece; at the start, the guessed sentence."""
        if self.finished:
            return []
        if self._open is not None:
            return self._run(self._open, 0, 0)[:max_tokens]
        if self.pieces:
            last = self.pieces[-1]
            return self._run(last.index, last.begin, last.end)[:max_tokens]
        if self.guess is None:
            return []
        return [self.sentences[self.guess].marker, *self._run(self.guess, 0, 0)][:max_tokens]

    def _run(self, index: int, begin: int, end: int) -> list[int]:
        """Ids from `end` to as far as a piece of sentence `index` that began at `begin` may reach."""
        limit = self.sentences[index].last_end(begin, self.words_left)
        return self.sentences[index].ids[end:limit].tolist()
