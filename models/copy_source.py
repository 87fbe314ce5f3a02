"""Between text and the copy constraint: a prompt's sentences as ids, and pieces of them back as document spans."""

from collections.abc import Sequence

import numpy as np

from qdts.models.decoding.copying import CopySentence, Piece
from qdts.models.document import Span
from qdts.models.prompt import SourceSentence
from qdts.models.tokenizer import marker

_CLAUSE_MARKS = frozenset(",;:)]–—،、，；：")


def copy_sentences(sources: Sequence[SourceSentence], text: str) -> list[CopySentence]:
    """Each source sentence with its marker, clause ends and word counts."""
    return [_copy_sentence(index, source, text) for index, source in enumerate(sources)]


def _copy_sentence(index: int, source: SourceSentence, text: str) -> CopySentence:
    num = len(source.ids)
    is_clause_end = np.zeros(num, np.bool_)
    begins_word = np.zeros(num, np.bool_)
    for t in range(num):
        start, end = int(source.starts[t]), int(source.ends[t])
        begins_word[t] = _begins_word(text, start, end, source.span.start)
        # A mark inside a word or number ("3,500") ends no clause.
        is_clause_end[t] = text[end - 1 : end] in _CLAUSE_MARKS and text[end : end + 1].isspace()
    if num:
        is_clause_end[-1] = True
    words_before = np.concatenate([[0], np.cumsum(begins_word)]).astype(np.int64)
    return CopySentence(marker=marker(index), ids=source.ids, clause_ends=is_clause_end, words_before=words_before)


def _begins_word(text: str, start: int, end: int, sentence_start: int) -> bool:
    """Does the token begin a word as a reader counts them, by white space? Scripts without spaces count by letter."""
    if start >= end or text[start].isspace():
        return False
    return start == sentence_start or text[start - 1].isspace() or ord(text[start]) >= 0x2E80


def piece_span(piece: Piece, sources: Sequence[SourceSentence]) -> Span:
    """The document's code points a piece stands for."""
    source = sources[piece.index]
    return Span(int(source.starts[piece.begin]), int(source.ends[piece.end - 1]))
