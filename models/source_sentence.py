"""A sentence that the decoder may quote: its ids, and all that the copy constraint needs to know of its text."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdts.models.document import Span
from qdts.models.runtimes.base import Ids
from qdts.models.text.words import word_starts
from qdts.models.tokenizer import Pieces

# A mark inside a word or number ("3,500") ends no clause: white space must follow it.
_CLAUSE_MARKS = frozenset(",;:)]–—،")
# Marks of scripts written without spaces
_WIDE_CLAUSE_MARKS = frozenset("、，；：")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSentence:
    """Ids (T,) and the document's code points [starts, ends) (T,) of each.

    `clause_ends` (T,): a clause ends with the token.  `words_before` (T + 1,): words that begin before the token; the
    last entry holds those of the sentence.
    """

    span: Span
    ids: Ids
    starts: Ids
    ends: Ids
    clause_ends: npt.NDArray[np.bool_]
    words_before: Ids

    def cut(self, num_tokens: int) -> "SourceSentence":
        """Its first tokens, at most so many."""
        if len(self.ids) <= num_tokens:
            return self
        clause_ends = self.clause_ends[:num_tokens].copy()
        clause_ends[-1:] = True
        return SourceSentence(
            span=self.span,
            ids=self.ids[:num_tokens],
            starts=self.starts[:num_tokens],
            ends=self.ends[:num_tokens],
            clause_ends=clause_ends,
            words_before=self.words_before[: num_tokens + 1],
        )


def read_source(span: Span, pieces: Pieces, text: str) -> SourceSentence:
    """The sentence of `text` at `span`, of which `pieces` are the tokens."""
    starts, ends = pieces.starts + span.start, pieces.ends + span.start
    return SourceSentence(
        span=span,
        ids=pieces.ids,
        starts=starts,
        ends=ends,
        clause_ends=_clause_ends(starts, ends, text),
        words_before=_words_before(span, ends, text),
    )


def ends_clause(text: str, end: int) -> bool:
    """Does a clause end at code point `end` of `text`: a clause mark before it that is not inside a word?"""
    mark = text[end - 1 : end]
    return mark in _WIDE_CLAUSE_MARKS or (mark in _CLAUSE_MARKS and text[end : end + 1].isspace())


def _clause_ends(starts: Ids, ends: Ids, text: str) -> npt.NDArray[np.bool_]:
    clause_ends = np.array([ends_clause(text, end) for end in ends.tolist()], np.bool_)
    # Several tokens can make up one character: only the last of them ends anything.
    clause_ends[:-1] &= starts[1:] >= ends[:-1]
    clause_ends[-1:] = True
    return clause_ends


def _words_before(span: Span, ends: Ids, text: str) -> Ids:
    begins = np.array(word_starts(span.of(text)), np.int64) + span.start
    begun = np.searchsorted(begins, np.maximum.accumulate(ends))
    return np.concatenate([np.zeros(1, np.int64), begun])
