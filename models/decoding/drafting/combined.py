"""Several drafters as one: their drafts are merged into one tree, the first ones' tokens first."""

from collections.abc import Sequence

from qdts.models.decoding.drafting.base import Drafter
from qdts.models.decoding.drafting.draft import Draft, unmapped


class CombinedDrafter:
    """Each drafter may use what those before it have left of the budget. Where branches agree they are one."""

    def __init__(self, drafters: Sequence[Drafter]) -> None:
        self._drafters = drafters
        self._places: list[list[int]] = []

    def draft(self, max_tokens: int) -> Draft:
        """One tree."""
        merged = Draft()
        self._places = []
        for drafter in self._drafters:
            own = drafter.draft(max_tokens - len(merged))
            self._places.append(merged.graft(own, max_tokens))
        return merged

    def observe(self, choices: Sequence[int]) -> None:
        """To each the choices after its own tokens."""
        for drafter, places in zip(self._drafters, self._places, strict=True):
            drafter.observe(unmapped(choices, places))

    def extend(self, tokens: Sequence[int]) -> None:
        """To all."""
        for drafter in self._drafters:
            drafter.extend(tokens)
