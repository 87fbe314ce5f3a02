"""The best rung on offer: down under load, up again later, and not to and fro."""

import math
from collections.abc import Callable

from qdts.service.pressure import Pressure
from qdts.service.reply import Rung


def pressure() -> Pressure:
    return Pressure(degrade_after_s=0.25, recover_after_s=1.0)


def press(subject: Pressure, wait: float | Callable[[float], float], start_s: float, seconds: float) -> list[Rung]:
    """A request every 10 ms; the rungs they are offered."""
    rungs: list[Rung] = []
    for number in range(round(seconds * 100)):
        now_s = start_s + number / 100
        subject.observe(wait(now_s) if callable(wait) else wait, now_s=now_s)
        rungs.append(subject.rung)
    return rungs


def test_without_load_the_best_is_on_offer() -> None:
    assert set(press(pressure(), 0.9, 0, 10)) == {Rung.FULL}


def test_load_goes_down_the_rungs_one_by_one_and_no_further() -> None:
    rungs = press(pressure(), 3.0, 0, 3)
    assert [rungs[0], rungs[40], rungs[-1]] == [Rung.FULL, Rung.SHORTER, Rung.PASSAGES]


def test_a_moment_is_no_load() -> None:
    subject = pressure()
    assert set(press(subject, 3.0, 0, 0.1) + press(subject, 0.0, 0.1, 1.0)) == {Rung.FULL}


def test_between_high_and_low_it_stays_where_it_is() -> None:
    subject = pressure()
    press(subject, 3.0, 0, 0.3)
    before = subject.rung
    assert before is Rung.SHORTER
    assert set(press(subject, 0.6, 0.3, 30)) == {before}


def test_it_recovers_more_slowly_than_it_gives_way() -> None:
    subject = pressure()
    press(subject, 3.0, 0, 1)
    assert subject.level == 2
    rungs = press(subject, 0.0, 1, 4)
    assert rungs[80] is Rung.PASSAGES and rungs[-1] is Rung.FULL


def test_the_first_request_after_a_pause_counts_in_full() -> None:
    subject = pressure()
    press(subject, 3.0, 0, 0.2)
    press(subject, 0.0, 60, 0.01)
    assert set(press(subject, 3.0, 60.01, 0.2)) == {Rung.FULL}
    assert press(subject, 3.0, 60.21, 0.2)[-1] is Rung.SHORTER


def test_a_minute_of_swinging_load_changes_little() -> None:
    subject = pressure()
    press(subject, lambda now_s: 1.5 + 1.5 * math.sin(2 * math.pi * now_s / 2), 0, 60)
    assert subject.num_changes <= 4, "the swings are shorter than it takes to recover"


def test_a_relapse_puts_off_the_next_attempt() -> None:
    """The load is low exactly while a cheap rung is on offer."""
    subject, changed_at, level = pressure(), list[float](), 0
    for number in range(6000):
        now_s = number / 100
        subject.observe(0.0 if subject.level == 2 else 3.0, now_s=now_s)
        if subject.level != level:
            changed_at.append(now_s)
            level = subject.level
    ups = changed_at[2::2]
    gaps = [later - earlier for earlier, later in zip(ups, ups[1:], strict=False)]
    assert gaps[0] < 3 and gaps[-1] > 8
    assert len(changed_at) < 24
