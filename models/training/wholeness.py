"""Does a piece of text begin and end where a sentence or a clause of its document does? Knows no query and no net.

A piece that stands in the document is judged by where it stands; any other by its first and last characters.
"""

import re
from collections.abc import Iterator
from itertools import accumulate

from qdts.models.source_sentence import ends_clause
from qdts.models.text.extractive import quote
from qdts.models.text.sentences import split_sentences

# A clause of a sentence can be read on its own, though not as well as the sentence.
CLAUSE = 0.5
# Words that mean nothing before somebody has been named, unless a noun follows ("this engine").
DANGLING = frozenset("he she it they him her them this that these those his hers its their theirs".split())
DANGLING_FACTOR = 0.5

_FIRST_WORD = re.compile(r"\w+")
_STOPPED = re.compile(r"[.!?…。！？؟۔।][\"'”’»)\]]*$")


class Wholeness:
    """One document, read once; pieces of it are judged one by one."""

    def __init__(self, document: str) -> None:
        sentences = [quote(span, document) for span in split_sentences(document)]
        self._text = " ".join(sentences)
        lengths = [len(sentence) + 1 for sentence in sentences]
        starts = [0, *accumulate(lengths)][: len(sentences)]
        self._starts = frozenset(starts)
        self._ends = frozenset(start + len(sentence) for start, sentence in zip(starts, sentences, strict=True))

    def score(self, sentences: tuple[str, ...]) -> float:
        """In [0, 1]: the mean over the sentences of a summary; 0 without one.

        Only the first can dangle: what a later one leans on stands before it.
        """
        if not sentences:
            return 0.0
        scores = [self.score_piece(sentence) for sentence in sentences]
        scores[0] *= DANGLING_FACTOR if dangles(sentences[0]) else 1.0
        return sum(scores) / len(scores)

    def score_piece(self, piece: str) -> float:
        """In [0, 1]: the mean of how it begins and how it ends; `CLAUSE` for what only a clause does."""
        piece = " ".join(piece.split())
        if not piece:
            return 0.0
        places = [(self._begins(at) + self._ends_at(at + len(piece))) / 2 for at in self._occurrences(piece)]
        return max(places) if places else (_looks_begun(piece) + _looks_ended(piece)) / 2

    def _occurrences(self, piece: str) -> Iterator[int]:
        at = self._text.find(piece)
        while at >= 0:
            yield at
            at = self._text.find(piece, at + 1)

    def _begins(self, at: int) -> float:
        if at in self._starts:
            return 1.0
        return CLAUSE if ends_clause(self._text, len(self._text[:at].rstrip())) else 0.0

    def _ends_at(self, end: int) -> float:
        if end in self._ends:
            return 1.0
        return CLAUSE if ends_clause(self._text, end) else 0.0


def dangles(sentence: str) -> bool:
    """Does a text begin with a pronoun that names nobody: "It was", "They are"? "This engine" does not."""
    words = _FIRST_WORD.findall(sentence[:80].casefold())
    if not words or words[0] not in DANGLING:
        return False
    if words[0] in ("his", "her", "its", "their"):
        return True
    return words[0] not in ("this", "that", "these", "those") or words[1:2] == [] or words[1] in _VERBS


# What follows "this" where it stands for a noun of its own.
_VERBS = frozenset("is was are were has had have can could may might will would does did do means makes made".split())


def _looks_begun(piece: str) -> float:
    first = next((char for char in piece if char.isalnum()), "")
    return 0.0 if first.islower() or not first else 1.0


def _looks_ended(piece: str) -> float:
    if _STOPPED.search(piece):
        return 1.0
    return CLAUSE if ends_clause(piece + " ", len(piece)) else 0.0
