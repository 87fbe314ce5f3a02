"""Whether the process still lives: the event loop turns, the model comes back from each call, the engine is there.

Asked from a thread that shares none of them, so that what is stuck cannot hide that it is. A busy server lives:
the bounds are far above what load does, because a probe that fails under load makes of overload an outage.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from qdts.service.limits import require_between

BEAT_EVERY_S = 0.25

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleConfig:
    """When a part counts as stuck, and how soon an engine that died is started again. In seconds."""

    max_loop_stall_s: float = 10.0
    max_model_call_s: float = 60.0
    max_engine_away_s: float = 300.0
    # The first try comes after so long, each later one after twice the time of the one before, up to the second.
    restart_first_s: float = 0.5
    restart_max_s: float = 30.0

    def __post_init__(self) -> None:
        require_between("lifecycle.max_loop_stall_s", self.max_loop_stall_s, 4 * BEAT_EVERY_S, 600)
        require_between("lifecycle.max_model_call_s", self.max_model_call_s, 0.1, 3600)
        require_between("lifecycle.max_engine_away_s", self.max_engine_away_s, 0.1, 86400)
        require_between("lifecycle.restart_max_s", self.restart_max_s, 0.01, 3600)
        require_between("lifecycle.restart_first_s", self.restart_first_s, 0.01, self.restart_max_s)


class Since:
    """For how long something has been so. Each write is one store, so that any thread may read."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._at: float | None = None

    def begin(self) -> None:
        """It is so from now on, whatever it was."""
        self._at = self._clock()

    def end(self) -> None:
        """It is not so any more."""
        self._at = None

    @property
    def seconds(self) -> float:
        """0 where it is not so."""
        at = self._at
        return 0.0 if at is None else self._clock() - at


class Liveness:
    """What stands still, and whether that is too long."""

    def __init__(self, config: LifecycleConfig, clock: Clock = time.monotonic) -> None:
        self._config = config
        self.loop_turned = Since(clock)
        self.model_called = Since(clock)
        self.engine_away = Since(clock)

    def problem(self) -> str | None:
        """The part that is stuck, or None. Safe from any thread, waits for nothing."""
        bounds = (
            ("loop", self.loop_turned, self._config.max_loop_stall_s),
            ("model", self.model_called, self._config.max_model_call_s),
            ("engine", self.engine_away, self._config.max_engine_away_s),
        )
        return next((name for name, since, bound_s in bounds if since.seconds > bound_s), None)

    async def beat(self) -> None:
        """Say every BEAT_EVERY_S that the loop turns; a task of that loop, to be cancelled."""
        while True:
            self.loop_turned.begin()
            await asyncio.sleep(BEAT_EVERY_S)
