"""Free text mapped to what the document says: the student copies, so a teacher may only point.

A sentence that stands in the document, white space aside, is quoted as the document has it. Any other is replaced by
the piece (a sentence, two neighbours, or clauses of one, as the copy constraint cuts them) that is closest to it, if
that is close enough; otherwise it is dropped. Knows no teacher and no query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qdts.models.document import Span
from qdts.models.evaluation.metrics import copied_share, rouge
from qdts.models.text.extractive import quote
from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import content_stems, word_starts
from qdts.models.training.examples import find_span
from qdts.models.training.teachers.candidates import clause_spans

# Of how many sentences the clauses are looked at, too
_NUM_CUT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingConfig:
    """How close a piece must come: one of the two is enough.

    `min_copied` is the share of the teacher's 4-grams that the piece holds, `min_rouge` ROUGE-L (F1) between them.
    """

    min_copied: float = 0.5
    min_rouge: float = 0.5

    def __post_init__(self) -> None:
        for name in ("min_copied", "min_rouge"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in (0, 1], is {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounded:
    """What is left of a teacher's text: pieces in document order, none inside another, and what became of its
    sentences. `support` is the mean of how close the kept ones came, in [0, 1]; 0 where none was kept.
    """

    spans: tuple[Span, ...]
    sentences: tuple[str, ...]
    num_verbatim: int
    num_mapped: int
    num_dropped: int
    support: float


def ground(sentences: Sequence[str], document: str, config: GroundingConfig) -> Grounded:
    """Every sentence quoted, mapped or dropped."""
    spans: list[Span] = []
    closeness: list[float] = []
    num_verbatim = 0
    for sentence in sentences:
        if (span := _verbatim(sentence, document)) is not None:
            num_verbatim += 1
            found, close = span, 1.0
        elif (nearest := _nearest(sentence, document, config)) is not None:
            found, close = nearest
        else:
            continue
        spans.append(found)
        closeness.append(close)
    kept = _disjoint(spans)
    return Grounded(
        spans=tuple(kept),
        sentences=tuple(quote(span, document) for span in kept),
        num_verbatim=num_verbatim,
        num_mapped=len(spans) - num_verbatim,
        num_dropped=len(sentences) - len(spans),
        support=sum(closeness) / len(closeness) if closeness else 0.0,
    )


def _verbatim(sentence: str, document: str) -> Span | None:
    """Where it stands in the document as whole words."""
    span = find_span(document, sentence)
    if span is None:
        return None
    before, after = document[max(0, span.start - 1) : span.start], document[span.end : span.end + 1]
    inside_word = (before + document[span.start]).isalnum() and len(before) == 1
    inside_word |= (document[span.end - 1] + after).isalnum() and len(after) == 1
    return None if inside_word else span


def _nearest(sentence: str, document: str, config: GroundingConfig) -> tuple[Span, float] | None:
    """The piece closest to `sentence` by ROUGE-L, the shorter one on ties, and how close it is."""
    best: tuple[float, int, Span] | None = None
    for span in _pieces(sentence, document):
        piece = span.of(document)
        near = (rouge(piece, sentence).rouge_l, -len(word_starts(piece)), span)
        if best is None or near[:2] > best[:2]:
            best = near
    if best is None or best[0] == 0:
        return None
    close, _, span = best
    copied = copied_share([sentence], span.of(document)) or 0.0
    return (span, max(close, copied)) if close >= config.min_rouge or copied >= config.min_copied else None


def _pieces(sentence: str, document: str) -> Iterator[Span]:
    """All sentences and pairs of neighbours; clauses only of those that share the most words with `sentence`."""
    sentences = split_sentences(document)
    yield from sentences
    for first, second in pairwise(sentences):
        yield Span(first.start, second.end)
    words = frozenset(content_stems(sentence))
    shared = [len(words.intersection(content_stems(span.of(document)))) for span in sentences]
    for place in sorted(range(len(sentences)), key=lambda i: (-shared[i], i))[:_NUM_CUT]:
        yield from clause_spans(document, sentences[place])


def _disjoint(spans: Sequence[Span]) -> list[Span]:
    """In order, overlapping ones joined: two sentences of a teacher can come from one of the document."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start < joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined
