"""Questions made from sentences of raw prose, the sentence itself the answer.

A sentence loses a name, a date or a number, which a question word replaces, and some of its other words
(cloze translation, after Lewis et al. 2019, "Unsupervised Question Answering by Cloze Translation"): what is
left points at the sentence without repeating it.
"""

import random
import re
from typing import NamedTuple

from qdts.models.document import Span
from qdts.models.text.words import STOPWORDS

_DATE = re.compile(
    r"\b(?:(?:in|on|since|by|until|from)\s+)?(?:(?:January|February|March|April|May|June|July|August|September|October|"
    r"November|December)\s+)?(?:\d{1,2},?\s+)?\b(?:1[0-9]|20)\d\d\b"
)
_NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
_NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z][\w'’.-]+)(?:\s+(?:of\s+|the\s+)?[A-Z][\w'’.-]+){0,3}")
_PLACE_BEFORE = re.compile(r"\b(?:in|at|near|from)\s+$")


class Cloze(NamedTuple):
    """A query and what it asks for, "" where it asks for nothing in particular."""

    query: str
    answer: str


def cloze(sentence: str, rng: random.Random) -> Cloze:
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
    query = query.lower() if rng.random() < 0.4 else query + ("?" if word and rng.random() < 0.7 else "")
    return Cloze(query, _bare(span.of(sentence)))


def _bare(answer: str) -> str:
    return re.sub(r"^(?:in|on|since|by|until|from)\s+", "", answer).strip(" .,;:")


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
