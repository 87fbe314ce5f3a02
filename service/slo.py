"""What counts towards the SLO: requests answered by their deadline, over those that should have been.

Left out is what was the caller's: requests that are invalid, without a good token or beyond a quota, and those whose
caller went away while an answer could still come in time. What the server refuses for its own sake is a miss.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from qdts.errors import Draining, Loading, QdtsError, QuotaExceeded
from qdts.service.deadline import Deadline
from qdts.service.ladder import before_reply
from qdts.service.metrics import Metrics
from qdts.service.request import Priority

# The calls that ask for summaries.
METHODS = frozenset({"Summarize", "BatchSummarize", "StreamSummarize"})


@contextmanager
def counted(metrics: Metrics, priority: Priority, deadline: Deadline) -> Iterator[None]:
    """Counts the request that the block answers, if it counts."""
    due = before_reply(deadline)  # by then the answer leaves: who goes away later has not got it in time
    counts, is_met = True, False
    try:
        yield
        is_met = not deadline.expired
    except QuotaExceeded:
        counts = False
        raise
    except asyncio.CancelledError:
        counts = due.expired
        raise
    finally:
        if counts:
            metrics.observe_slo(priority, is_met=is_met)


def count_unseen(metrics: Metrics, method: str, error: QdtsError, *, is_bound: bool = False) -> None:
    """Counts a call that got no further than this error, if it counts; `is_bound`: a bound on calls refused it."""
    if method in METHODS and (is_bound or isinstance(error, Loading | Draining)):
        metrics.count_unseen()
