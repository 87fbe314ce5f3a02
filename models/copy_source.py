"""Between text and the copy constraint: a prompt's sentences as ids, pieces of them back as spans."""

from collections.abc import Sequence

import numpy as np

from qdts.models.decoding.copying import CopySentence, CopyState, Piece
from qdts.models.decoding.drafting.pieces import PieceDrafter
from qdts.models.document import Span, SummarySentence
from qdts.models.prompt import Prompt
from qdts.models.source_sentence import SourceSentence
from qdts.models.text.extractive import quote
from qdts.models.tokenizer import END, FIRST_MARKER, is_marker, marker

# One: a wrong guess costs a step, but each more costs the tokens of a sentence in every step.
_NUM_GUESSES = 1


def copy_state(prompt: Prompt, *, trims: bool) -> CopyState:
    """The constraint on a summary of this prompt."""
    return CopyState(copy_sentences(prompt.sentences), END, prompt.max_words, trims)


def piece_drafter(prompt: Prompt, state: CopyState) -> PieceDrafter:
    """Drafts for `state`, the one of this prompt; the first guess is the best-ranked sentence."""
    hints = prompt.prefix[is_marker(prompt.prefix)]
    return PieceDrafter(state, [int(hint) - FIRST_MARKER for hint in hints[:_NUM_GUESSES]])


def copy_sentences(sources: Sequence[SourceSentence]) -> list[CopySentence]:
    """Each source sentence behind its marker."""
    return [
        CopySentence(
            marker=marker(index),
            ids=source.ids,
            clause_ends=source.clause_ends,
            words_before=source.words_before,
        )
        for index, source in enumerate(sources)
    ]


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
