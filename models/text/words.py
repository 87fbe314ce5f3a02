"""Words of a text, with the stem under which two forms of a word meet. Knows nothing of sentences or models.

Scripts written without spaces (Han, kana, Thai, ...) are cut into single characters, which is what lexical
matching needs there; so is Hangul, whose words carry their particles with them.
"""

import re
from functools import lru_cache
from typing import NamedTuple

# Thai to Lao, Burmese, Khmer, kana, Han
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_SINGLE = _UNSPACED + "\uac00-\ud7af"
_WORD = re.compile(rf"[{_SINGLE}]|[^\W_{_SINGLE}]+(?:['’][^\W_{_SINGLE}]+)*")
# What a reader counts. A run without a space that is longer than any word counts as several, so that a bound
# on words bounds the text. The wide punctuation of those scripts counts like their letters.
_BY_CHARACTER = _UNSPACED + "\u3001-\u303f\uff00-\uff65"
_READ = re.compile(rf"[{_BY_CHARACTER}]|[^\s{_BY_CHARACTER}]{{1,64}}")
# A longer "word" is data, not language; its stem is cut so that one cannot fill the memory.
_MAX_STEM_LEN = 32

STOPWORDS = frozenset(
    "a about above after all also am an and any are as at be because been before being below between both "
    "but by can could did do does doing down during each few for from further had has have having he her "
    "here hers him his how i if in into is it its itself just many may me might more most much must my no "
    "nor not of off on once only or other our out over own same she should so some such than that the their "
    "them then there these they this those through to too under until up upon very was we were what when "
    "where which while who whom whose why will with would you your".split()
)


class Word(NamedTuple):
    """One word: its stem and its half-open range of code points."""

    stem: str
    start: int
    end: int


def stem(word: str) -> str:
    """Casefold and strip the commonest English endings: "Engines" and "engine" -> "engin"."""
    return _stem(word[: 2 * _MAX_STEM_LEN])


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    word = word.casefold().replace("’", "'").removesuffix("'s")[:_MAX_STEM_LEN]
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    return _strip_ending(word)


def _strip_ending(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and any(vowel in root for vowel in "aeiouy"):
            return root[:-1] if root[-1] == root[-2] and root[-1] not in "ls" else root
    return word.removesuffix("e") if len(word) > 4 else word


def split_words(text: str) -> list[Word]:
    """All words of `text` in order."""
    return [Word(stem(match.group()), match.start(), match.end()) for match in _WORD.finditer(text)]


def word_starts(text: str) -> list[int]:
    """Where words begin as a reader counts them: by white space; in scripts without it, every character."""
    return [match.start() for match in _READ.finditer(text)]


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order; all stems if none does."""
    words = [match.group() for match in _WORD.finditer(text)]
    content = [stem(word) for word in words if word.casefold() not in STOPWORDS]
    return content or [stem(word) for word in words]
