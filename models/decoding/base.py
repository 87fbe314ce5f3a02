"""What decoding asks of a constraint on the output, and the one that permits everything. Ids only."""

from typing import Protocol

from qdts.models.runtimes.base import Ids


class DecodingState(Protocol):
    """One sequence's place in its grammar, advanced token by token."""

    finished: bool

    def copy(self) -> "DecodingState":
        """An independent state at the same place, for looking ahead."""
        ...

    def allowed(self) -> Ids | None:
        """Ids that may come next; None for all of them."""
        ...

    def advance(self, token: int) -> None:
        """Take one allowed token."""
        ...


class FreeState:
    """No constraint: everything up to the end id."""

    def __init__(self, end_id: int) -> None:
        self._end_id = end_id
        self.finished = False

    def copy(self) -> "FreeState":
        """An independent state at the same place."""
        twin = FreeState(self._end_id)
        twin.finished = self.finished
        return twin

    def allowed(self) -> Ids | None:
        """Every id."""
        return None

    def advance(self, token: int) -> None:
        """Finished at the end id."""
        self.finished = self.finished or token == self._end_id
