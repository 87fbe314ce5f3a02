"""Jobs whose batch failed, each of which is to be tried once more, by itself: what one of them is to blame for, or what
only so many at once were too much for, must not harm the others."""

from collections.abc import Iterable
from copy import copy

from qdts.errors import DeadlineExceeded, QdtsError
from qdts.service.scheduler import Job


class SecondTries:
    """In the order of their deadlines. The engine's thread changes it, others may ask how many there are."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def first(self) -> Job | None:
        """The next to be tried; it stays until it is removed."""
        return self._jobs[0] if self._jobs else None

    def add(self, batch: Iterable[Job]) -> None:
        """All that were written together when their step failed."""
        jobs = [*self._jobs, *batch]
        for job in jobs:
            job.is_second_try = True
        self._jobs = sorted(jobs, key=lambda job: job.deadline.at)

    def remove(self, job: Job) -> None:
        """It has begun, or failed."""
        self._jobs = [each for each in self._jobs if each is not job]

    def drop_lost(self) -> None:
        """Those that are gone or out of time."""
        for job in self._jobs:
            if not job.is_wanted or job.deadline.expired:
                self.remove(job)
                job.fail(DeadlineExceeded("the deadline passed before the summary could be tried again"))

    def fail_all(self, error: QdtsError) -> None:
        """Try none of them."""
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.fail(copy(error))  # each its own: it is raised where the job is awaited


def has_time(job: Job, *, took_s: float, batch: int) -> bool:
    """Whether a job may be done by its deadline when it begins anew, after `took_s` as one of `batch`.

    What it has taken so far is to be done again, and a batch is never cheaper than its share for each alone: a bound
    that holds on every machine, so nobody is given up who could make it.
    """
    return job.deadline.remaining_s > took_s / batch
