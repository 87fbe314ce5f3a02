"""What decoding asks of a source of drafts, and the one that has none. One drafter per sequence, ids only."""

from collections.abc import Sequence
from typing import Protocol

from qdts.models.decoding.drafting.draft import Draft


class Drafter(Protocol):
    """Guesses what one sequence goes on with. Right or wrong, the output stays the same."""

    def draft(self, max_tokens: int) -> Draft:
        """A guess of at most `max_tokens`; may be empty."""
        ...

    def observe(self, choices: Sequence[int]) -> None:
        """The net's choice after each token of the last draft, accepted or not; UNKNOWN where it was not asked."""
        ...

    def extend(self, tokens: Sequence[int]) -> None:
        """These tokens were written."""
        ...


class NoDrafter:
    """Plain decoding."""

    def draft(self, max_tokens: int) -> Draft:
        """Nothing."""
        return Draft()

    def observe(self, choices: Sequence[int]) -> None:
        """Nothing to learn from."""

    def extend(self, tokens: Sequence[int]) -> None:
        """Nothing to remember."""
