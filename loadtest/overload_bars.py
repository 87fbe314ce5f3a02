"""The least or the most that each figure of overload.py may be, and the verdict on all."""

from collections.abc import Sequence

# The least or the most that each figure may be: docs/capacity.md has peers and reasons.
AT_LEAST = {"goodput_ratio_10x": 0.9, "goodput_ratio_5x": 0.9, "goodput_ratio_2x": 0.9, "interactive_attainment": 0.994}
AT_MOST = {"accepted_p99_over_slo": 1.0, "late_replies": 0.0, "wasted_steps": 0.0, "failed": 0.0}
BELOW = {"reject_p99_ms": 5.0, "recovery_s": 1.0, "health_p99_ms": 50.0}
MISSED, MISUSED, UNRELIABLE = 1, 2, 3


def missed_bars(figures: dict[str, object]) -> list[str]:
    """The bars that are missed, in words. A figure that could not be measured misses its bar."""
    missed: list[str] = []
    for name, value in figures.items():
        if value is None and name in AT_LEAST | AT_MOST | BELOW:
            missed.append(f"{name} was not measured")
        if not isinstance(value, int | float):
            continue
        if value < AT_LEAST.get(name, value):
            missed.append(f"{name} = {value:.4g}, at least {AT_LEAST[name]:g}")
        if value > AT_MOST.get(name, value):
            missed.append(f"{name} = {value:.4g}, at most {AT_MOST[name]:g}")
        if name in BELOW and value >= BELOW[name]:
            missed.append(f"{name} = {value:.4g}, below {BELOW[name]:g}")
    return missed


def verdict(missed: Sequence[str], *, is_reliable: bool) -> int:
    """The exit status."""
    if not missed:
        return 0
    return MISSED if is_reliable else UNRELIABLE
