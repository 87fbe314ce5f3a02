"""What counts as stuck, by a clock of the test's."""

import asyncio

import pytest

from qdts.errors import ConfigError
from qdts.service.heartbeat import LifecycleConfig, Liveness, Since


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_since_counts_from_its_last_beginning() -> None:
    since = Since(clock := Clock())
    assert since.seconds == 0
    since.begin()
    clock.now += 3
    assert since.seconds == 3
    since.begin()
    assert since.seconds == 0
    clock.now += 1
    since.end()
    assert since.seconds == 0


@pytest.mark.parametrize(
    ("part", "name", "bound_s"),
    [("loop_turned", "loop", 10), ("model_called", "model", 60), ("engine_away", "engine", 300)],
)
def test_part_is_stuck_only_beyond_its_bound(part: str, name: str, bound_s: float) -> None:
    liveness = Liveness(LifecycleConfig(), clock := Clock())
    getattr(liveness, part).begin()
    clock.now += bound_s
    assert liveness.problem() is None
    clock.now += 0.1
    assert liveness.problem() == name
    getattr(liveness, part).end()
    assert liveness.problem() is None


async def test_loop_that_turns_is_never_stuck() -> None:
    liveness = Liveness(LifecycleConfig(max_loop_stall_s=1))
    beating = asyncio.ensure_future(liveness.beat())
    await asyncio.sleep(0.6)
    assert 0 < liveness.loop_turned.seconds < 0.5
    beating.cancel()


def test_bound_below_the_beat_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lifecycle\.max_loop_stall_s"):
        LifecycleConfig(max_loop_stall_s=0.3)
