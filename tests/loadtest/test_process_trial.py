"""What is told of a run in which processes ended: whose calls were lost with a connection, and whose were not."""

from typing import Any

from qdts.loadtest.process_trial import figures_of, lost_with_connections
from qdts.service.bench.driver import Run
from qdts.service.bench.outcome import Outcome

STRUCK_S = 1.0


def outcome(number: int, *, sent_s: float, took_s: float = 0.1, code: str = "OK", rung: str = "full") -> Outcome:
    answered: Any = {"rung": rung, "origin_rung": rung} if code == "OK" else {}
    return Outcome(
        number=number, kind="open", planned_s=sent_s, sent_s=sent_s, ended_s=sent_s + took_s, deadline_s=2, code=code,
        **answered,
    )  # fmt: skip


def test_calls_on_the_connection_that_broke_are_lost_and_no_others() -> None:
    """Two connections in turn; the second one breaks, which its first failure at 1.05 tells."""
    ends = [
        outcome(0, sent_s=0.95),
        outcome(1, sent_s=0.95, code="UNAVAILABLE"),
        outcome(2, sent_s=1.02),
        outcome(3, sent_s=1.02, code="UNAVAILABLE", took_s=0.05),
        outcome(4, sent_s=1.2),
        outcome(5, sent_s=1.2),
    ]
    lost = lost_with_connections(ends, STRUCK_S, 2)
    assert (lost.num_connections, lost.num_in_flight, lost.num_lost) == (1, 2, 2)
    figures = figures_of(Run(started_at=0, outcomes=tuple(ends)), STRUCK_S, lost)
    assert (figures["failed_rpcs"], figures["lost_in_flight"], figures["in_flight_there"]) == (0, 2, 2)


def test_call_that_fails_after_the_loss_was_noticed_has_no_excuse() -> None:
    ends = [
        outcome(0, sent_s=0.95, code="UNAVAILABLE"),
        outcome(1, sent_s=1.3, code="UNAVAILABLE"),
        outcome(2, sent_s=1.4, code="INTERNAL"),
    ]
    lost = lost_with_connections(ends, STRUCK_S, 1)
    assert (lost.num_in_flight, lost.num_lost) == (1, 1)
    assert figures_of(Run(started_at=0, outcomes=tuple(ends)), STRUCK_S, lost)["failed_rpcs"] == 2


def test_where_nothing_broke_nothing_is_lost() -> None:
    lost = lost_with_connections([outcome(number, sent_s=number / 10) for number in range(20)], STRUCK_S, 4)
    assert (lost.num_connections, lost.num_in_flight, lost.num_lost) == (0, 0, 0)


def test_refused_and_expired_calls_have_failed_and_degraded_ones_tell_how_long_the_model_was_away() -> None:
    ends = [
        outcome(0, sent_s=0.5, took_s=0.05),
        outcome(1, sent_s=1.1, code="RESOURCE_EXHAUSTED"),
        outcome(2, sent_s=1.2, code="DEADLINE_EXCEEDED", took_s=2),
        outcome(3, sent_s=1.75, rung="extractive", took_s=0.25),
        outcome(4, sent_s=2.0, took_s=0.25),
    ]
    figures = figures_of(Run(started_at=0, outcomes=tuple(ends)), STRUCK_S)
    assert figures["failed_rpcs"] == 2 and "lost_in_flight" not in figures
    assert figures["model_back_after_s"] == 0.75
    assert figures["p99_ms_before"] == 50 and figures["added_ms_p99"] == 1950
