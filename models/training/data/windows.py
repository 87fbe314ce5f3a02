"""Windows of a page around an answer: long enough to have to search, the answer anywhere in them."""

import random

from qdts.models.training.data.config import WeakConfig
from qdts.models.training.data.pages import Page


def cut_window(page: Page, first: int, last: int, rng: random.Random, config: WeakConfig) -> range:
    """Neighbouring sentences around [first, last]: as many words as chance says, between the bounds where they reach.

    How many of them stand before the answer is even chance, so the answer stands at no favoured place.
    """
    words = page.num_words
    wanted = rng.randint(config.min_words, config.max_words) - sum(words[first : last + 1])
    before = rng.uniform(0, max(0, wanted))
    begin, end = first, last + 1
    while begin > 0 and words[begin - 1] <= before:
        begin -= 1
        before -= words[begin]
    left = wanted - sum(words[begin:first])
    while end < len(words) and words[end] <= left:
        left -= words[end]
        end += 1
    # A page that ends soon gives its room to what stands before.
    while begin > 0 and end == len(words) and words[begin - 1] <= left:
        begin -= 1
        left -= words[begin]
    return range(begin, end)


def window_text(page: Page, window: range, without: int | None = None) -> str:
    """The text of a window as it stands on the page, its heading `without` left out if it is in it."""
    start, end = page.sentences[window[0]].start, page.sentences[window[-1]].end
    if without is None or without not in window:
        return page.text[start:end]
    gap = page.sentences[without]
    return (page.text[start : gap.start] + page.text[gap.end : end].lstrip("\n")).strip()
