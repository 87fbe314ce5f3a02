"""A page of raw prose: its title, its sentences, and which of them are headings. Knows nothing of queries.

A page's first line is its title. A heading is a line of its own, short, without a full stop, and followed by prose.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qdts.models.document import Span
from qdts.models.text.sentences import split_sentences

_MAX_HEADING_WORDS = 12
_MAX_TITLE_CHARS = 120
_HEADING = re.compile(r"[\"'“‘(]?[A-Z0-9].*[^.,;:!…|]\Z", re.DOTALL)
_BULLET = re.compile(r"(?:[-*•–·]|\d{1,2}[.)]|[a-z][.)])\s")
_PROSE = re.compile(r"[\"'“‘(]?[A-Z0-9].*[.!?][\"'”’)]*\Z", re.DOTALL)
# A sentence that leans on something not in it, or is a remark about the page.
_LEANING = re.compile(
    r"(?:note|see|click|figure|table|example|tip|warning|important|required|type|default|key points)\b[:.]?|"
    r"(?:this|these|those|it|he|she|they) (?:is|are|was|were|do|does|can) (?:not )?(?:the case|so)\b|"
    r"for (?:more|example)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Page:
    """`sentences` are spans of `text`, which leaves the title's line out; `headings` are indices of them."""

    title: str
    text: str
    sentences: tuple[Span, ...]
    headings: frozenset[int]

    @cached_property
    def num_words(self) -> tuple[int, ...]:
        """Words of each sentence."""
        return tuple(len(span.of(self.text).split()) for span in self.sentences)

    def sentence(self, index: int) -> str:
        """The text of one sentence."""
        return self.sentences[index].of(self.text)

    @cached_property
    def answers(self) -> tuple[int, ...]:
        """Sentences that can answer something: whole, of 8 to 40 words, standing on their own."""
        return tuple(i for i in range(len(self.sentences)) if i not in self.headings and self._is_answer(i))

    def _is_answer(self, index: int) -> bool:
        text = self.sentence(index)
        return (
            8 <= self.num_words[index] <= 40
            and bool(_PROSE.match(text))
            and not _BULLET.match(text)
            and not _LEANING.match(text)
        )


def parse_page(document: str) -> Page | None:
    """The page; None where there are fewer than four sentences."""
    title, _, body = document.strip().partition("\n")
    title = " ".join(title.split())
    if len(title) > _MAX_TITLE_CHARS:
        title = ""
    spans = split_sentences(body)
    if len(spans) < 4:
        return None
    return Page(title=title, text=body, sentences=tuple(spans), headings=_headings(body, spans))


def _headings(text: str, spans: Sequence[Span]) -> frozenset[int]:
    found: set[int] = set()
    for index in range(len(spans) - 1):
        following = spans[index + 1].of(text)
        if _is_heading(text, spans[index]) and len(following.split()) >= 6 and _PROSE.match(following):
            found.add(index)
    return frozenset(found)


def _is_heading(text: str, span: Span) -> bool:
    heading = span.of(text)
    stands_alone = text[span.start - 1 : span.start] in ("", "\n") and text[span.end : span.end + 1] == "\n"
    return (
        stands_alone
        and len(heading.split()) <= _MAX_HEADING_WORDS
        and bool(_HEADING.match(heading))
        and not _BULLET.match(heading)
    )
