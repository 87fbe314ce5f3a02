"""The copy constraint's own drafts: between two choices of a sentence there is nothing to choose."""

from collections.abc import Sequence

from qdts.models.decoding.copying import CopyState
from qdts.models.decoding.drafting.draft import Draft, Odds


class PieceDrafter:
    """The rest of the piece that `state`, the sequence's own, is in; before the first, the sentences of `guesses`,
    the likeliest first: each is a branch while there is room."""

    def __init__(self, state: CopyState, guesses: Sequence[int]) -> None:
        self._state = state
        self._guesses = guesses

    def draft(self, max_tokens: int) -> Draft:
        """A chain, or a branch for each guess."""
        if self._state.pieces or self._state.run():
            return Draft.chain(self._state.run()[:max_tokens], Odds.SURE)
        draft = Draft(odds=Odds.CAN_WAIT)
        for guess in self._guesses:
            draft.graft(Draft.chain(self._state.opening(guess)), max_tokens)
        return draft

    def observe(self, choices: Sequence[int]) -> None:
        """Nothing to learn from."""

    def extend(self, tokens: Sequence[int]) -> None:
        """The state has them already."""
