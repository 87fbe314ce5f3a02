# pyright: reportMissingImports=false, reportMissingModuleSource=false
# Locust is an extra; the types of what it brings are not there without it.
"""Load over time for locustfile.py, in multiples of --qps: a user is a request per second."""

from typing import Any, ClassVar

from locust import LoadTestShape

RATE_PER_USER = 1.0


class TargetQps(LoadTestShape):
    """`multiples` of --qps, each for its share of --seconds."""

    abstract = True
    multiples: ClassVar[tuple[float, ...]] = (1.0,)

    def tick(self) -> tuple[int, float] | None:
        """Called by Locust every second."""
        options: Any = self.runner.environment.parsed_options if self.runner else None
        if options is None or self.get_run_time() >= options.seconds:
            return None
        place = int(len(self.multiples) * self.get_run_time() / options.seconds)
        num_users = max(1, round(options.qps * self.multiples[place] / RATE_PER_USER))
        return num_users, 10_000.0  # all at once: a ramp would be another load than the one asked for


class Steady(TargetQps):
    """One rate."""


class Step(TargetQps):
    """Up and down again."""

    multiples = (0.8, 1.4, 0.8)


class Spike(TargetQps):
    """Five times the rate, for a moment."""

    multiples = (0.5, 0.5, 5.0, 0.5, 0.5)


class TenFold(TargetQps):
    """Ten times the rate."""

    multiples = (1.0, 10.0)


SHAPES: dict[str, type[TargetQps]] = {"steady": Steady, "step": Step, "spike": Spike, "ten_fold": TenFold}
