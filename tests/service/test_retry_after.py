"""Those who are refused at the same moment come back at different ones."""

from qdts.service.retry_after import RetryAfter


def test_times_lie_around_the_one_that_is_meant() -> None:
    retry_after = RetryAfter()
    times = [retry_after.about(10.0) for _ in range(1000)]
    assert len(set(times)) == 1000
    assert 8.0 <= min(times) < 8.1 and 11.9 < max(times) <= 12.0
    assert abs(sum(times) / len(times) - 10.0) < 0.2
