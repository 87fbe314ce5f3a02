"""Documents that are about a query's topic and do not answer it: other rows' documents, the closest first by BM25.

Only documents under the row's own licence and source are offered, so that a derived row keeps one of each.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from qdts.models.evaluation.splits import normalise
from qdts.models.text.bm25 import score_bags
from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import content_stems, split_words
from qdts.models.training.data.rows import TrainRow

# A sentence that holds this share of the reference's words says what the reference says.
_SAYS_SHARE = 0.5
# A shorter answer ("2", "no") stands in any document.
_MIN_ANSWER_CHARS = 3
# About seven words.
_SHORT_CHARS = 45


class Neighbours:
    """The distinct documents of some rows, searchable."""

    def __init__(self, rows: Sequence[TrainRow]) -> None:
        distinct = {(row.source, row.licence, row.document): row for row in rows}
        self._rows = list(distinct.values())
        self._bags = [Counter(word.stem for word in split_words(row.document)) for row in self._rows]
        self._stems: dict[int, list[set[str]]] = {}

    def of(self, row: TrainRow, count: int) -> list[TrainRow]:
        """Up to `count` rows whose documents are close to the row's query and do not answer it."""
        scores = score_bags(content_stems(row.query), self._bags)
        order = sorted((i for i in range(len(scores)) if scores[i] > 0), key=lambda i: (-scores[i], i))
        found: list[TrainRow] = []
        for index in order:
            if len(found) == count:
                break
            if self._is_foreign(self._rows[index], row) and not self._answers(index, row):
                found.append(self._rows[index])
        return found

    def short_lines(self, row: TrainRow, count: int) -> list[str]:
        """Up to `count` sentences of a few words, headings and list items among them, of documents not the row's."""
        lines: dict[str, None] = {}
        for other in self._rows:
            if len(lines) >= count:
                break
            if self._is_foreign(other, row):
                spans = split_sentences(other.document)
                texts = (span.of(other.document) for span in spans if len(span) <= _SHORT_CHARS)
                lines.update((text, None) for text in texts if " " in text and not says(text, row.reference))
        return list(lines)[:count]

    def _is_foreign(self, other: TrainRow, row: TrainRow) -> bool:
        return (other.source, other.licence) == (row.source, row.licence) and other.document != row.document

    def _answers(self, index: int, row: TrainRow) -> bool:
        """Might this document answer the row's query? When in doubt, yes."""
        bag, stems = self._bags[index], set(content_stems(row.query))
        if all(stem in bag for stem in stems):
            return True
        text = normalise(self._rows[index].document)
        said = [answer for answer in map(normalise, row.answers) if len(answer) >= _MIN_ANSWER_CHARS]
        return any(answer in text for answer in said) or _any_says(self._sentences(index), row.reference)

    def _sentences(self, index: int) -> list[set[str]]:
        """The stems of each sentence of a document, kept: many rows ask."""
        if index not in self._stems:
            self._stems[index] = _sentence_stems(self._rows[index].document)
        return self._stems[index]


def says(document: str, reference: str) -> bool:
    """Does some sentence of the document hold half of the words of some sentence of the reference?"""
    return _any_says(_sentence_stems(document), reference)


def _any_says(sentences: Iterable[set[str]], reference: str) -> bool:
    wanted = [set(content_stems(span.of(reference))) for span in split_sentences(reference)]
    return any(len(part & stems) >= _SAYS_SHARE * len(part) for stems in sentences for part in wanted if part)


def _sentence_stems(document: str) -> list[set[str]]:
    return [{word.stem for word in split_words(span.of(document))} for span in split_sentences(document)]
