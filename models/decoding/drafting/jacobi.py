"""Jacobi drafts: n-grams that the net itself writes beside the output, some positions ahead.

Fu et al. 2024, "Break the Sequential Dependency of LLM Inference Using Lookahead Decoding" (arXiv 2402.02057). A window
of W columns holds N - 1 levels of guesses; each step asks the net what follows every column's last level. The answer
closes an n-gram, which goes to the pool, and becomes the newest level, while the oldest is dropped. Candidates are the
pool's n-grams that begin with the last written token.

The paper's mask is a tree: level 0 is a chain from what is written; level l of a column follows its level l - 1.
"""

import random
from collections import OrderedDict, defaultdict
from collections.abc import Sequence

from qdts.models.decoding.drafting.draft import UNKNOWN, Draft, unmapped

Gram = tuple[int, ...]


class JacobiDrafter:
    """W columns, n-grams of N tokens, at most G candidates of one first token. Costs (W + G)(N - 1) tokens a step."""

    def __init__(
        self, prompt: Sequence[int], *, window: int = 5, ngram: int = 4, candidates: int = 5, seed: int = 0
    ) -> None:
        if ngram < 2 or window < 1 or candidates < 1:
            raise ValueError(
                f"ngram must be at least 2, window and candidates at least 1; are {ngram}, {window}, {candidates}"
            )
        self._num_levels, self._num_candidates = ngram - 1, candidates
        self._pool: defaultdict[int, OrderedDict[Gram, None]] = defaultdict(OrderedDict)
        self._last = UNKNOWN
        # As in the paper's code: any tokens will do at first, and the prompt's are likelier than others.
        chance, source = random.Random(seed), list(prompt) or [0]
        self._levels = [[chance.choice(source) for _ in range(window)] for _ in range(self._num_levels)]
        self._places: list[int] = []

    def draft(self, max_tokens: int) -> Draft:
        """Candidates first, then as much of the window as there is room for."""
        draft = Draft()
        for gram in reversed(self._pool.get(self._last, ())):
            draft.graft(Draft.chain(gram), max_tokens)
        self._places = draft.graft(self._window(), max_tokens)
        return draft

    def _window(self) -> Draft:
        """Level by level: a tree without shared prefixes would need no merging, but guesses may repeat."""
        width = len(self._levels[0])
        tokens = [token for level in self._levels for token in level]
        first = list(range(-1, width - 1))
        return Draft(tokens, first + list(range(len(tokens) - width)))

    def observe(self, choices: Sequence[int]) -> None:
        """Close the n-grams whose last level the net was asked about, and move the window up a level."""
        width = len(self._levels[0])
        answers = unmapped(choices, self._places)[-width:] if self._places else [UNKNOWN] * width
        for column, answer in enumerate(answers):
            if answer != UNKNOWN:
                first, *rest = [level[column] for level in self._levels]
                self._remember(first, (*rest, answer))
        if all(answer != UNKNOWN for answer in answers):
            self._levels = [*self._levels[1:], answers]

    def _remember(self, first: int, rest: Gram) -> None:
        grams = self._pool[first]
        grams[rest] = None
        grams.move_to_end(rest)
        if len(grams) > self._num_candidates:
            grams.popitem(last=False)

    def extend(self, tokens: Sequence[int]) -> None:
        """The last of them is where the next candidates begin."""
        if tokens:
            self._last = tokens[-1]
