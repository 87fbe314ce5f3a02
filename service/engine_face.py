"""What admission, the ladder and a serving ask of an engine, wherever it runs.

`service/engine.py` has the one that runs in this process, `service/processes/` those that run in others.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from qdts.errors import QdtsError
from qdts.service.deadline import Deadline
from qdts.service.request import Priority
from qdts.service.scheduler import Generated, Prompt


class EngineFace(Protocol):
    """Writes summaries, several at once, from its start to stop()."""

    @property
    def is_alive(self) -> bool:
        """Whether it can write at all."""
        ...

    @property
    def num_waiting(self) -> int:
        """Jobs in the queue."""
        ...

    @property
    def num_by_class(self) -> dict[Priority, int]:
        """Jobs in the queue, by class."""
        ...

    @property
    def num_running(self) -> int:
        """Jobs that have a place."""
        ...

    @property
    def num_places(self) -> int:
        """Jobs that can run at once."""
        ...

    @property
    def capacity(self) -> int:
        """Jobs that can run or wait at once."""
        ...

    @property
    def num_inside(self) -> int:
        """Jobs expected, waiting and running."""
        ...

    @property
    def next_batch(self) -> int:
        """How many would be written at once with one job more."""
        ...

    def wait_s(self, priority: Priority) -> float:
        """How long a new job of this class would wait for a place, by what is known now."""
        ...

    def expecting(self, priority: Priority) -> AbstractContextManager[None]:
        """Within the block one job more is on its way here, and counted so. Event loop only."""
        ...

    async def generate(
        self,
        prompt: Prompt,
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
        num_tokens: int = 1,
        on_text: Callable[[str], None] | None = None,
    ) -> Generated:
        """The summary for a prompt of the model that the engine runs. Cancel the call to stop the work."""
        ...

    def stop(self, error: QdtsError, *, timeout_s: float) -> None:
        """Take nothing new, let what runs finish for so long, end; the rest fails with `error`. Blocks."""
        ...
