"""The limit follows latency."""

from qdts.service.concurrency import ConcurrencyLimit


def test_it_starts_open_and_stays_so_while_all_is_well() -> None:
    limit = ConcurrencyLimit(least=9, most=72)
    for _ in range(1000):
        limit.observe(0.1, tolerated_s=0.3, num_inside=70)
    assert limit.limit == 72


def test_latency_above_what_is_tolerated_closes_it_down_to_the_least() -> None:
    limit = ConcurrencyLimit(least=9, most=72)
    limits: list[int] = []
    for _ in range(200):
        limit.observe(1.0, tolerated_s=0.3, num_inside=70)
        limits.append(limit.limit)
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] == 9


def test_it_settles_where_latency_is_tolerated() -> None:
    """Latency in proportion to the number inside, as of a queue: with 30 it is what is tolerated."""
    limit = ConcurrencyLimit(least=2, most=200)
    for _ in range(2000):
        limit.observe(limit.limit / 30, tolerated_s=1.0, num_inside=limit.limit)
    assert 30 <= limit.limit <= 45


def test_it_opens_again_only_where_it_is_used() -> None:
    limit = ConcurrencyLimit(least=4, most=64)
    for _ in range(200):
        limit.observe(9.0, tolerated_s=0.3, num_inside=64)
    assert limit.limit == 4
    for _ in range(200):
        limit.observe(0.1, tolerated_s=0.3, num_inside=1)
    assert limit.limit == 4
    for _ in range(200):
        limit.observe(0.1, tolerated_s=0.3, num_inside=limit.limit)
    assert limit.limit == 64
