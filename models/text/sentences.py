"""Where the sentences of a text begin and end. Rules, not a model: linear time on any input.

A sentence ends at a terminator that is followed by white space and something that can begin a sentence, at
the terminators of scripts that need no space after them, at a blank line, and at a line break unless the next
line goes on in lower case. What is left over longer than a reader could use is cut at clause marks, then at
spaces, then hard, so that one word of a million letters is many pieces and no piece is unbounded.
"""

import re
from collections.abc import Iterator

from qdts.models.document import Span

MAX_SENTENCE_CHARS = 600

_CLOSERS = "\"'”’»)\\]』」）】"
# Each alternative is tried only where a run begins and never gives back what it took, so a run is read once.
_STOPS = ".!?…؟۔।॥።"
_BOUNDARY = re.compile(
    rf"(?P<stop>(?<![{_STOPS}])[{_STOPS}]++[{_CLOSERS}]*+)(?=\s)"
    rf"|(?P<wide>[。！？｡]++[{_CLOSERS}]*+)"
    r"|(?P<gap>\n\s*+)"
)
_LAST_WORD = re.compile(r"([^\s(\[\"“'‘]+)\.$")
_CLAUSE_CUT = re.compile(r"[,;:،、，；：)\]–—]\s*|\s+")

# Words whose full stop does not end a sentence, by language; "" holds for all.
_ABBREVIATIONS: dict[str, frozenset[str]] = {
    "": frozenset("dr mr mrs ms prof sr jr st no vs etc e.g i.e cf al fig figs eq vol pp p ed eds approx ca".split()),
    "en": frozenset(
        "inc ltd co corp dept est gen col lt capt sgt rev hon gov sen rep u.s u.k a.m p.m ph.d jan feb mar "
        "apr jun jul aug sep sept oct nov dec mt ft art sec ch".split()
    ),
    "de": frozenset("z.b d.h u.a bzw nr usw evtl ggf vgl str sog inkl geb bspw".split()),
    "fr": frozenset("m mme mlle env av bd chap p.ex".split()),
    "es": frozenset("ud uds sra dra núm pág ej avda ee.uu".split()),
}


def split_sentences(text: str, language: str = "") -> list[Span]:
    """Spans of the sentences of `text`, in order, without surrounding white space; [] for a blank text.

    `language` is a BCP-47 tag; English abbreviations are assumed where it is not given.
    """
    abbreviations = _ABBREVIATIONS[""] | _ABBREVIATIONS.get(language.split("-")[0].lower() or "en", frozenset())
    spans: list[Span] = []
    start = 0
    for end in _ends(text, abbreviations):
        spans.extend(_pieces(text, start, end))
        start = end
    return spans


def _ends(text: str, abbreviations: frozenset[str]) -> Iterator[int]:
    for match in _BOUNDARY.finditer(text):
        if match.lastgroup == "stop" and not _is_full_stop(text, match, abbreviations):
            continue
        if match.lastgroup == "gap" and _goes_on(text, match):
            continue
        yield match.end()
    yield len(text)


def _goes_on(text: str, gap: re.Match[str]) -> bool:
    """Is the gap one line break inside a sentence?"""
    return text[gap.end() : gap.end() + 1].islower() and gap.group().count("\n") == 1


def _is_full_stop(text: str, match: re.Match[str], abbreviations: frozenset[str]) -> bool:
    following = text[match.end() : match.end() + 40].lstrip()[:1]
    if following.islower():
        return False
    if match.group("stop") != ".":
        return True
    word = _LAST_WORD.search(text[max(0, match.start() - 24) : match.start() + 1])
    if word is None:
        return True
    name = word.group(1)
    is_initial = len(name) == 1 and name.isalpha() and name.isupper()
    return not is_initial and name.lower() not in abbreviations


def _pieces(text: str, start: int, end: int) -> Iterator[Span]:
    """[start, end) without its surrounding white space, cut so that no piece exceeds the bound."""
    while True:
        while start < end and text[start].isspace():
            start += 1
        if end - start <= MAX_SENTENCE_CHARS:
            break
        cut = _cut_point(text, start, start + MAX_SENTENCE_CHARS)
        yield _trimmed(text, start, cut)
        start = cut
    if start < end:
        yield _trimmed(text, start, end)


def _cut_point(text: str, start: int, limit: int) -> int:
    cuts = [match.end() for match in _CLAUSE_CUT.finditer(text, start + MAX_SENTENCE_CHARS // 2, limit)]
    return cuts[-1] if cuts else limit


def _trimmed(text: str, start: int, end: int) -> Span:
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)
