"""Words of a text, with the stem under which two forms of a word meet. Knows nothing of sentences or models.

Scripts written without spaces (Han, kana, Hangul, Thai, ...) are cut into single characters, which is what lexical
matching needs there.
"""

import re
from functools import lru_cache
from typing import NamedTuple

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:['’][^\W_{_UNSPACED}]+)*")
# A longer "word" is data, not language; its stem is cut so that one cannot fill the memory.
_MAX_STEM_LEN = 32

STOPWORDS = frozenset(
    "a about above after all also am an and any are as at be because been before being below between both but by can could did do "
    "does doing down during each few for from further had has have having he her here hers him his how i if in into is it its "
    "itself just many may me might more most much must my no nor not of off on once only or other our out over own same she should "
    "so some such than that the their them then there these they this those through to too under until up upon very was we were "
    "what when where which while who whom whose why will with would you your".split()
)


class Word(NamedTuple):
    """One word: its stem and its half-open range of code points."""

    stem: str
    start: int
    end: int


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Casefold and strip the commonest English endings: "Engines" -> "engine", "stopped" -> "stop"."""
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


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order; all stems if none does."""
    words = [match.group() for match in _WORD.finditer(text)]
    content = [stem(word) for word in words if word.casefold() not in STOPWORDS]
    return content or [stem(word) for word in words]
