"""Between text and the copy constraint: a prompt's sentences as ids, pieces of them back as spans."""

from collections.abc import Sequence

import numpy as np

from qdts.models.decoding.copying import CopySentence, CopyState, Piece
from qdts.models.decoding.drafting.pieces import PieceDrafter
from qdts.models.document import Span, SummarySentence
from qdts.models.prompt import Prompt, SourceSentence
from qdts.models.text.extractive import quote
from qdts.models.text.words import word_starts
from qdts.models.tokenizer import END, FIRST_MARKER, is_marker, marker

# One: a wrong guess costs a step, but each more costs the tokens of a sentence in every step.
_NUM_GUESSES = 1
# A mark inside a word or number ("3,500") ends no clause: white space must follow it.
_CLAUSE_MARKS = frozenset(",;:)]–—،")
# Marks of scripts written without spaces
_WIDE_CLAUSE_MARKS = frozenset("、，；：")


def copy_state(prompt: Prompt, *, trims: bool) -> CopyState:
    """The constraint on a summary of this prompt."""
    return CopyState(copy_sentences(prompt.sentences, prompt.text), END, prompt.max_words, trims)


def piece_drafter(prompt: Prompt, state: CopyState) -> PieceDrafter:
    """Drafts for `state`, the one of this prompt; the first guess is the best-ranked sentence."""
    hints = prompt.prefix[is_marker(prompt.prefix)]
    return PieceDrafter(state, [int(hint) - FIRST_MARKER for hint in hints[:_NUM_GUESSES]])


def copy_sentences(sources: Sequence[SourceSentence], text: str) -> list[CopySentence]:
    """Each source sentence with its marker, clause ends and word counts."""
    return [_copy_sentence(index, source, text) for index, source in enumerate(sources)]


def _copy_sentence(index: int, source: SourceSentence, text: str) -> CopySentence:
    clause_ends = np.array([ends_clause(text, end) for end in source.ends.tolist()], np.bool_)
    # Several tokens can make up one character: only the last of them ends anything.
    clause_ends[:-1] &= source.starts[1:] >= source.ends[:-1]
    clause_ends[-1:] = True
    begins = np.array(word_starts(source.span.of(text)), np.int64) + source.span.start
    begun = np.searchsorted(begins, np.maximum.accumulate(source.ends))
    words_before = np.concatenate([np.zeros(1, np.int64), begun])
    return CopySentence(marker=marker(index), ids=source.ids, clause_ends=clause_ends, words_before=words_before)


def ends_clause(text: str, end: int) -> bool:
    """Does a clause end at code point `end` of `text`: a clause mark before it that is not inside a word?"""
    mark = text[end - 1 : end]
    return mark in _WIDE_CLAUSE_MARKS or (mark in _CLAUSE_MARKS and text[end : end + 1].isspace())


def piece_span(piece: Piece, sources: Sequence[SourceSentence]) -> Span:
    """The document's code points a piece stands for, white space around them left aside."""
    source = sources[piece.index]
    starts, ends = source.starts[piece.begin : piece.end], source.ends[piece.begin : piece.end]
    # A token can be nothing but the space before a word: it covers no code point.
    covering = np.flatnonzero(starts < ends)
    if not len(covering):
        return Span(int(starts[0]), int(starts[0]))
    return Span(int(starts[covering[0]]), int(ends[covering[-1]]))


def quote_piece(piece: Piece, prompt: Prompt) -> SummarySentence:
    """A piece as a sentence of the summary, with its place in the document."""
    span = piece_span(piece, prompt.sentences)
    return SummarySentence(text=quote(span, prompt.text), source=span)
