"""Bursts are let through, queues that stand are not."""

from qdts.service.codel import Codel


def feed(codel: Codel, waits: list[float], *, every_s: float = 0.1, start_s: float = 100.0) -> list[bool]:
    """What is turned away of those that come out one every so often, after so many targets."""
    return [codel.drops(wait, now_s=start_s + every_s * number) for number, wait in enumerate(waits)]


def test_short_waits_are_let_through() -> None:
    assert not any(feed(Codel(interval_s=0.5), [0.9] * 50))


def test_a_burst_that_drains_is_let_through() -> None:
    waits = [5.0, 4.0, 3.0, 2.0, 0.5] * 10
    assert not any(feed(Codel(interval_s=0.5), waits))


def test_a_queue_that_stands_sheds_after_one_interval() -> None:
    dropped = feed(Codel(interval_s=0.5), [3.0] * 20)
    assert dropped == [False] * 5 + [True] * 15


def test_only_those_far_above_the_target_are_shed() -> None:
    assert feed(Codel(interval_s=0.5), [3.0, 1.5] * 10)[6:] == [True, False] * 7


def test_it_ends_with_the_first_short_wait_of_an_interval() -> None:
    codel = Codel(interval_s=0.5)
    feed(codel, [3.0] * 10)
    assert not any(feed(codel, [3.0, 3.0, 0.1, 3.0, 3.0, 3.0], start_s=101.0)[5:])


def test_what_was_known_before_a_pause_is_forgotten() -> None:
    codel = Codel(interval_s=0.5)
    assert feed(codel, [3.0] * 10)[-1]
    assert not codel.drops(3.0, now_s=110.0)
