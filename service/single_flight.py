"""One piece of work for all who ask for the same at the same time. Knows nothing of what the work is.

The work runs in a task of its own, so it belongs to nobody: when the caller that started it goes away, the
next one simply goes on waiting. When the last one goes away, the work is cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")
Listener = Callable[[str], None]
Work = Callable[[Listener], Awaitable[Result]]


class _Flight(Generic[Result]):
    """Work under way, and those who wait for it."""

    def __init__(self, work: Work[Result]) -> None:
        self.num_waiting = 0
        self.listeners: list[Listener] = []
        self.task: asyncio.Future[Result] = asyncio.ensure_future(work(self.tell))

    def tell(self, text: str) -> None:
        """The text so far, to all who listen."""
        for listener in self.listeners:
            listener(text)


class SingleFlight(Generic[Result]):
    """Flights by key. One event loop's; not for threads."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[Result]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flights

    async def join(
        self, key: Hashable, work: Work[Result], *, timeout_s: float, listener: Listener | None = None
    ) -> Result:
        """The result of the flight under `key`, started with `work` if there is none.

        TimeoutError after `timeout_s`; the work goes on for the others. `work` gets a function to call with
        the text so far, which reaches the listeners of all who wait.
        """
        flight = self._flights.get(key) or self._start(key, work)
        flight.num_waiting += 1
        if listener is not None:
            flight.listeners.append(listener)
        try:
            return await asyncio.wait_for(asyncio.shield(flight.task), timeout_s)
        finally:
            self._leave(key, flight, listener)

    def _start(self, key: Hashable, work: Work[Result]) -> _Flight[Result]:
        flight = self._flights[key] = _Flight(work)
        flight.task.add_done_callback(lambda task: self._land(key, flight, task))
        return flight

    def _land(self, key: Hashable, flight: _Flight[Result], task: "asyncio.Future[Result]") -> None:
        self._forget(key, flight)
        if not task.cancelled():
            task.exception()  # marks it as seen: all who cared may have gone

    def _leave(self, key: Hashable, flight: _Flight[Result], listener: Listener | None) -> None:
        flight.num_waiting -= 1
        if listener is not None:
            flight.listeners.remove(listener)
        if flight.num_waiting == 0 and not flight.task.done():
            self._forget(key, flight)  # at once: a newcomer must not join what is being cancelled
            flight.task.cancel()

    def _forget(self, key: Hashable, flight: _Flight[Result]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
