"""Weak supervision: questions made from sentences of raw prose, the sentence itself the answer.

A sentence loses a name, a date or a number, which a question word replaces, and some of its other words
(cloze translation, after Lewis et al. 2019, "Unsupervised Question Answering by Cloze Translation"): what is
left points at the sentence without repeating it.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qdts.models.document import Span
from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import STOPWORDS

_DATE = re.compile(
    r"\b(?:(?:in|on|since|by|until|from)\s+)?(?:(?:January|February|March|April|May|June|July|August|September|October|"
    r"November|December)\s+)?(?:\d{1,2},?\s+)?\b(?:1[0-9]|20)\d\d\b"
)
_NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
_NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z][\w'’.-]+)(?:\s+(?:of\s+|the\s+)?[A-Z][\w'’.-]+){0,3}")
_PLACE_BEFORE = re.compile(r"\b(?:in|at|near|from)\s+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRow:
    """A query, the document it is about, and the part of it that answers."""

    query: str
    title: str
    document: str
    reference: str


def weak_rows(text: str, rng: random.Random, *, per_document: int) -> Iterator[TrainRow]:
    """Up to `per_document` rows from windows of one corpus document; its first line is its title."""
    title, _, body = text.strip().partition("\n")
    spans = split_sentences(body)
    for _ in range(per_document if len(spans) >= 4 else 0):
        window = _window(spans, rng)
        usable = [s for s in window if 8 <= len(s.of(body).split()) <= 40]
        if len(window) < 3 or not usable:
            continue
        span = rng.choice(usable)
        document = body[window[0].start : window[-1].end]
        with_title = title if len(title) < 80 and rng.random() < 0.5 else ""
        yield TrainRow(
            query=pseudo_query(span.of(body), rng),
            title=with_title,
            document=document,
            reference=span.of(body),
        )


def _window(spans: Sequence[Span], rng: random.Random) -> Sequence[Span]:
    """Neighbouring sentences, 400 to 1,200 code points together."""
    first = rng.randrange(len(spans))
    room = rng.randint(400, 1200)
    last = first
    while last < len(spans) and spans[last].end - spans[first].start <= room:
        last += 1
    return spans[first:last]


def pseudo_query(sentence: str, rng: random.Random) -> str:
    """A query a person might have typed to find `sentence`: a question word, some of its words."""
    word, span = _answer(sentence, rng)
    rest = sentence[: span.start] + " " + sentence[span.end :]
    keep = rng.uniform(0.3, 0.75)
    words = [w.strip(".,;:()\"'“”") for w in rest.split()]
    kept = [w for w in words if w and rng.random() < (keep if w.lower() not in STOPWORDS else keep * 0.6)]
    if rng.random() < 0.3:
        rng.shuffle(kept)
    kept = kept[:12] or words[:3]
    query = " ".join([word, *kept] if word else kept)
    return query.lower() if rng.random() < 0.4 else query + ("?" if word and rng.random() < 0.7 else "")


def _answer(sentence: str, rng: random.Random) -> tuple[str, Span]:
    """A question word and the span it asks for; ("", empty) for a keyword query."""
    options: list[tuple[str, Span]] = []
    for pattern, question in ((_DATE, "when"), (_NUMBER, "how many"), (_NAME, "")):
        for match in pattern.finditer(sentence):
            word = question or (
                "where" if _PLACE_BEFORE.search(sentence[: match.start()]) else rng.choice(("who", "what", "which"))
            )
            options.append((word, Span(match.start(), match.end())))
    if not options or rng.random() < 0.25:
        return (rng.choice(("", "", "what", "how", "why")), Span(0, 0))
    return rng.choice(options)
