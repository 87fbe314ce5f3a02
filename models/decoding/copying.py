"""The copy constraint: a summary is made of pieces of the document, each announced by its sentence's marker.

summary   := piece+ END
piece     := MARKER_i  tokens [a, b) of sentence i       i strictly increasing from piece to piece
a         is the sentence's start or follows a clause mark;   b is its end or follows a clause mark

The net decides which sentence, where to begin and where to stop; in between there is nothing to decide, so
the run up to the sentence's end is a draft that verification mostly accepts. Faithfulness holds by
construction, whatever the weights. Knows nothing of text: sentences are ids, clause ends and word counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
        """The furthest end within `max_words`: the sentence's, else a clause's, else a word's.

        At least one token, which in scripts without spaces can hold a few words.
        """
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


@dataclass(frozen=True, slots=True)
class _Reading:
    """Where the open piece may have begun, and the furthest end it may then reach."""

    begin: int
    limit: int


@dataclass(slots=True)
class CopyState:
    """How far one summary has got; `advance` token by token, `copy` to look ahead.

    The last of `pieces` is open. Clauses that begin with the same tokens are followed side by side until the
    tokens tell them apart; `pieces` shows the first of those left.
    """

    sentences: Sequence[CopySentence]
    end_id: int
    max_words: int
    # May pieces begin and end at clause marks? Only a net that has learned to trim should; else only a
    # sentence that exceeds `max_words` is cut, at the last clause that fits.
    trims: bool = False
    pieces: list[Piece] = field(default_factory=list[Piece])
    words_left: int = field(init=False)
    finished: bool = field(default=False, init=False)
    # The sentence whose marker was written and whose piece has not begun.
    _chosen: int | None = field(default=None, init=False)
    _readings: tuple[_Reading, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        self.words_left = self.max_words

    def copy(self) -> "CopyState":
        """An independent state at the same place."""
        twin = replace(self, pieces=list(self.pieces))
        twin.words_left, twin.finished = self.words_left, self.finished
        twin._chosen, twin._readings = self._chosen, self._readings
        return twin

    def allowed(self) -> Ids:
        """The ids that may come next; never empty before END."""
        if self._chosen is not None:
            options = [int(self.sentences[self._chosen].ids[begin]) for begin in self._begins(self._chosen)]
        elif self.pieces:
            options = self._after_token()
        else:
            options = [sentence.marker for sentence in self.sentences]
        return np.array(sorted(set(options)), np.int64)

    def _begins(self, index: int) -> list[int]:
        return self.sentences[index].begins() if self.trims else [0]

    def _after_token(self) -> list[int]:
        options = [token for token in map(self._continuation, self._readings) if token is not None]
        stopped = self._stopped()
        return [*options, self.end_id, *self._next_markers(stopped)] if stopped else options

    def _continuation(self, reading: _Reading) -> int | None:
        """The token after the open piece, read so."""
        last = self.pieces[-1]
        end = reading.begin + last.end - last.begin
        return int(self.sentences[last.index].ids[end]) if end < reading.limit else None

    def _stopped(self) -> Piece | None:
        """The open piece as it is if it stops here; None where it may not."""
        last = self.pieces[-1]
        for reading in self._readings:
            end = reading.begin + last.end - last.begin
            if end >= reading.limit or (self.trims and self.sentences[last.index].may_end(reading.begin, end)):
                return Piece(last.index, reading.begin, end)
        return None

    def _num_words(self, piece: Piece) -> int:
        before = self.sentences[piece.index].words_before
        return int(before[piece.end] - before[piece.begin])

    def _next_markers(self, stopped: Piece) -> list[int]:
        """Markers of later sentences that still fit whole."""
        left = self.words_left - self._num_words(stopped)
        later = self.sentences[stopped.index + 1 :]
        return [sentence.marker for sentence in later if int(sentence.words_before[-1]) <= left]

    def advance(self, token: int) -> None:
        """Take one allowed token."""
        if self._chosen is not None:
            self._begin_piece(self._chosen, token)
        elif self.pieces and (going_on := [r for r in self._readings if self._continuation(r) == token]):
            last = self.pieces[-1]
            begin = going_on[0].begin
            self._readings = tuple(going_on)
            self.pieces[-1] = Piece(last.index, begin, begin + last.end - last.begin + 1)
        else:
            self._end_piece(token)

    def _begin_piece(self, index: int, token: int) -> None:
        sentence = self.sentences[index]
        begins = [begin for begin in self._begins(index) if int(sentence.ids[begin]) == token]
        self._readings = tuple(_Reading(begin, sentence.last_end(begin, self.words_left)) for begin in begins)
        self.pieces.append(Piece(index, begins[0], begins[0] + 1))
        self._chosen = None

    def _end_piece(self, token: int) -> None:
        """END, or the marker of the next sentence."""
        if self.pieces:
            stopped = self._stopped()
            assert stopped is not None, f"token {token} is not allowed here"
            self.pieces[-1] = stopped
            self.words_left -= self._num_words(stopped)
        if token == self.end_id:
            self.finished = True
        else:
            self._chosen = next(i for i, sentence in enumerate(self.sentences) if sentence.marker == token)

    def run(self) -> list[int]:
        """The rest of the open piece, or the whole of the chosen one, as far as it fits; nothing where one is to be
        chosen."""
        if self.finished:
            return []
        if self._chosen is not None:
            return self._whole(self._chosen)
        if not self.pieces:
            return []
        last = self.pieces[-1]
        return self.sentences[last.index].ids[last.end : self._readings[0].limit].tolist()

    def opening(self, index: int) -> list[int]:
        """Sentence `index` as the next piece: its marker, and its tokens as far as they fit."""
        return [self.sentences[index].marker, *self._whole(index)]

    def _whole(self, index: int) -> list[int]:
        sentence = self.sentences[index]
        return sentence.ids[: sentence.last_end(0, self.words_left)].tolist()
