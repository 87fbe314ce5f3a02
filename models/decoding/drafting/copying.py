"""Copy drafts: what followed the last few tokens where they stood before, in the prompt or in the output.

Prompt lookup (Saxena 2023) by a suffix automaton instead of n-grams of a fixed length (SAM-Decoding, Hu et al. 2024,
arXiv 2411.10666): the longest match decides, whatever its length, at the same cost per token.
"""

from collections.abc import Sequence

from qdts.models.decoding.drafting.draft import Draft
from qdts.models.decoding.drafting.suffix_automaton import SuffixAutomaton


class CopyDrafter:
    """Over the texts of a prompt, each read by itself, and what is written.

    A match of fewer than `min_match` tokens is chance; a longer one is trusted for `per_match` tokens for each of its
    own.
    """

    def __init__(self, prompt: Sequence[Sequence[int]], *, min_match: int = 2, per_match: int = 8) -> None:
        self._automaton = SuffixAutomaton()
        for text in prompt:
            self._automaton.extend(text)
            self._automaton.reset_match()
        self._min_match = min_match
        self._per_match = per_match

    def draft(self, max_tokens: int) -> Draft:
        """The continuation of the longest match."""
        length = self._automaton.match_length
        if length < self._min_match:
            return Draft()
        return Draft.chain(self._automaton.continuation(min(max_tokens, self._per_match * length)))

    def observe(self, choices: Sequence[int]) -> None:
        """Nothing to learn from."""

    def extend(self, tokens: Sequence[int]) -> None:
        """Match on, and remember."""
        self._automaton.extend(tokens)
