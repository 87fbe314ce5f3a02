"""Weak supervision: rows made from raw prose, each kind at its own share.

heading      a section's heading (and title)   -> the section's first sentence or two
lead         the page's title                  -> its first sentence
definition   "X is a ..."                      -> that sentence
keywords     a sentence's rarest words         -> that sentence
cloze        a sentence with a gap (cloze.py)  -> that sentence

The document of a row is a window of its page (windows.py), so that the answer stands anywhere in it.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from qdts.models.text.words import STOPWORDS, split_words, stem
from qdts.models.training.data.cloze import cloze
from qdts.models.training.data.config import WeakConfig
from qdts.models.training.data.pages import Page, parse_page
from qdts.models.training.data.queries import as_typed, definition_query, part_query, topic_query
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.data.windows import cut_window, window_text

# Headings that stand on every page.
_DULL_HEADINGS = frozenset(
    (
        "references, notes, see also, external links, further reading, bibliography, sources, topics, related topics, "
        "requirements, parameters, syntax, remarks, overview, introduction, summary, description, contents, "
        "in this section, next steps, properties, return value, members, copyright, footnotes, gallery, citations"
    ).split(", ")
)
_DEFINITION = re.compile(
    r"(?:An? |The )?(?P<term>[A-Za-z][\w'’.-]*(?: (?:of |and |for |the )?[\w'’-]+){0,4}?)(?: \([^()]{1,60}\))?,? "
    r"(?:(?:is|refers to|means) (?:an?|the|one of)|are (?:an?|the)?)\b"
)
_NO_TERMS = frozenset("it this that these those there he she they one another here what which who".split())
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Find:
    """A query, the sentences [first, last] of the page that answer it, short answers, a heading that gives it away."""

    query: str
    first: int
    last: int
    answers: tuple[str, ...] = ()
    heading: int | None = None


class Rarity:
    """How few of some pages hold a word."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._num_with: Counter[str] = Counter()
        self._num_texts = 0
        for text in texts:
            self._num_with.update({word.stem for word in split_words(text)})
            self._num_texts += 1

    def of(self, word: str) -> float:
        """Inverse document frequency; 0 for words that say nothing."""
        if word.lower() in STOPWORDS or not any(char.isalnum() for char in word):
            return 0.0
        return math.log((self._num_texts + 1) / (self._num_with[stem(word)] + 0.5))


class WeakMaker:
    """Makes rows of several pages, keeping the kinds at their shares of all it made."""

    def __init__(self, rarity: Rarity, rng: random.Random, config: WeakConfig) -> None:
        self._rarity = rarity
        self._rng = rng
        self._config = config
        self._made: Counter[str] = Counter()

    def rows(self, page: Page, count: int) -> Iterator[TrainRow]:
        """Up to `count` rows; a kind that lags behind its share goes first."""
        asked: set[str] = set()
        for _ in range(count):
            for kind in self._by_need():
                row = self._row(page, kind)
                if row is not None and row.query not in asked:
                    asked.add(row.query)
                    self._made[kind] += 1
                    yield row
                    break

    def _by_need(self) -> list[str]:
        total = self._made.total() + 1
        needs = {kind: share * total - self._made[kind] for kind, share in self._config.shares().items() if share}
        return sorted(needs, key=lambda kind: -needs[kind])

    def _row(self, page: Page, kind: str) -> TrainRow | None:
        makers: dict[str, Callable[[Page], _Find | None]] = {
            "heading": self._heading,
            "lead": self._lead,
            "definition": self._definition,
            "keywords": self._keywords,
            "cloze": self._cloze,
        }
        find = makers[kind](page)
        if find is None:
            return None
        window = cut_window(page, find.first, find.last, self._rng, self._config)
        # Half of the time the heading that gave the query is not there to give the answer away.
        without = find.heading if self._rng.random() < 0.5 else None
        has_title = bool(page.title) and len(page.title) < 80 and self._rng.random() < 0.5
        return TrainRow(
            query=as_typed(find.query, self._rng, self._config),
            title=page.title if has_title else "",
            document=window_text(page, window, without),
            reference=page.text[page.sentences[find.first].start : page.sentences[find.last].end],
            kind=f"prose-{kind}",
            answers=find.answers,
        )

    def _heading(self, page: Page) -> _Find | None:
        options = [h for h in sorted(page.headings) if h + 1 in page.answers and not _is_dull(page.sentence(h))]
        if not options:
            return None
        heading = self._rng.choice(options)
        query = part_query(page.sentence(heading), page.title, self._rng)
        return _Find(query=query, first=heading + 1, last=self._last(page, heading + 1), heading=heading)

    def _lead(self, page: Page) -> _Find | None:
        first = next((i for i in range(len(page.sentences)) if i not in page.headings), -1)
        if not page.title or first > 2 or first not in page.answers or _is_dull(page.title):
            return None
        return _Find(query=topic_query(page.title, self._rng), first=first, last=self._last(page, first))

    def _last(self, page: Page, first: int) -> int:
        """At times an answer goes on into the next sentence of its paragraph."""
        goes_on = first + 1 in page.answers and page.num_words[first] + page.num_words[first + 1] <= 40
        if not goes_on or self._rng.random() < 0.5:
            return first
        between = page.text[page.sentences[first].end : page.sentences[first + 1].start]
        return first if "\n" in between else first + 1

    def _definition(self, page: Page) -> _Find | None:
        found = [(i, match) for i in page.answers if (match := _DEFINITION.match(page.sentence(i)))]
        found = [(i, match["term"]) for i, match in found if not _is_no_term(match["term"])]
        if not found:
            return None
        index, term = self._rng.choice(found)
        return _Find(query=definition_query(term, self._rng), first=index, last=index)

    def _keywords(self, page: Page) -> _Find | None:
        index = self._any_answer(page)
        if index is None:
            return None
        words = dict.fromkeys(_WORD.findall(page.sentence(index)))
        rarest = sorted(words, key=lambda word: -self._rarity.of(word))
        kept = {word for word in rarest[: self._rng.randint(2, 5)] if self._rarity.of(word) > 0}
        in_order = [word for word in words if word in kept]
        if self._rng.random() < 0.3:
            self._rng.shuffle(in_order)
        return _Find(query=" ".join(in_order), first=index, last=index) if len(in_order) >= 2 else None

    def _cloze(self, page: Page) -> _Find | None:
        index = self._any_answer(page)
        if index is None:
            return None
        made = cloze(page.sentence(index), self._rng)
        if _num_content_words(made.query) < 2:
            return None
        return _Find(query=made.query, first=index, last=index, answers=(made.answer,) if made.answer else ())

    def _any_answer(self, page: Page) -> int | None:
        return self._rng.choice(page.answers) if page.answers else None


def _is_dull(heading: str) -> bool:
    """A heading that stands on every page, or has no word to search for."""
    return heading.lower().strip(" :") in _DULL_HEADINGS or not any(char.isalpha() for char in heading)


def _is_no_term(term: str) -> bool:
    words = term.lower().split()
    repeats = len(set(words)) < len(words)
    return repeats or words[0] in _NO_TERMS or words[0] in STOPWORDS or len(term) < 3


def _num_content_words(query: str) -> int:
    return sum(word.lower() not in STOPWORDS for word in _WORD.findall(query))


def weak_rows(
    text: str, rng: random.Random, *, per_document: int, config: WeakConfig | None = None
) -> Iterator[TrainRow]:
    """Up to `per_document` rows of one document of a corpus; its first line is its title."""
    page = parse_page(text)
    if page is not None:
        yield from WeakMaker(Rarity([text]), rng, config or WeakConfig()).rows(page, per_document)
