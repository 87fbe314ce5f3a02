"""How many instances a load needs, read off a measured curve: no model of the server but the measurement itself.

An instance is what the curve was measured on: a server with one GPU, or one on so many CPU cores.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from qdts.errors import ConfigError
from qdts.service.limits import require_between


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """What is asked for, and how careful to be."""

    qps: float
    slo_ms: float
    headroom: float = 0.3  # share of what an instance can do that stays unused: bursts, uneven balancing, growth
    num_spare: int = 1  # instances that may be missing: a deployment, a dead machine
    min_attainment: float = 0.99
    min_model_share: float = 0.95

    def __post_init__(self) -> None:
        require_between("plan.qps", self.qps, 0.001, 1e9)
        require_between("plan.slo_ms", self.slo_ms, 1, 3_600_000)
        require_between("plan.headroom", self.headroom, 0, 0.95)
        require_between("plan.num_spare", self.num_spare, 0, 1000)
        require_between("plan.min_attainment", self.min_attainment, 0, 1)
        require_between("plan.min_model_share", self.min_model_share, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One point of a curve."""

    offered_qps: float
    attainment: float
    model_share: float
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """So many instances, and what that rests on."""

    num_instances: int
    sustainable_qps: float  # per instance, as measured
    usable_qps: float  # per instance, headroom taken off
    assumptions: tuple[str, ...]


def read_curve(path: Path) -> list[Measured]:
    """The points of a curve that `qdts bench` wrote as JSON; ConfigError if it is none."""
    try:
        curve = json.loads(path.read_text(encoding="utf-8"))
        return [_point(cast("Mapping[str, Any]", point["figures"])) for point in curve["points"]]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as fault:
        raise ConfigError(f"{path}: is not a curve as `qdts bench --out` writes it") from fault


def make_plan(points: Sequence[Measured], config: PlanConfig) -> CapacityPlan:
    """Instances for the load; ConfigError where no measured point meets the SLO."""
    sustainable_qps = _sustainable_qps(points, config)
    usable_qps = sustainable_qps * (1 - config.headroom)
    # Rounded first: 150 / (0.7 * 100 ...) must not become one more by the last bit.
    needed = math.ceil(round(config.qps / usable_qps, 9))
    return CapacityPlan(
        num_instances=needed + config.num_spare,
        sustainable_qps=sustainable_qps,
        usable_qps=usable_qps,
        assumptions=_assumptions(config, sustainable_qps),
    )


def _sustainable_qps(points: Sequence[Measured], config: PlanConfig) -> float:
    """The highest measured load below which every measured point meets the SLO."""
    sustainable_qps = 0.0
    for point in sorted(points, key=lambda point: point.offered_qps):
        if not meets(point, config):
            break
        sustainable_qps = point.offered_qps
    if not sustainable_qps:
        raise ConfigError(f"plan: no measured load meets the SLO of {config.slo_ms:g} ms; measure lower rates")
    return sustainable_qps


def meets(point: Measured, config: PlanConfig) -> bool:
    """Whether the SLO was kept there."""
    is_fast = point.p99_ms is not None and point.p99_ms <= config.slo_ms
    return is_fast and point.attainment >= config.min_attainment and point.model_share >= config.min_model_share


def _assumptions(config: PlanConfig, sustainable_qps: float) -> tuple[str, ...]:
    return (
        f"One instance sustains {sustainable_qps:.1f} requests/s: the highest measured load at which, and at every "
        f"lower one, p99 <= {config.slo_ms:g} ms, at least {config.min_attainment:.1%} of all requests are answered in "
        f"time and at least {config.min_model_share:.0%} of the answers are the model's.",
        f"{config.headroom:.0%} of that stays unused, for bursts, uneven balancing and growth.",
        f"{config.num_spare} instance(s) may be missing: a rolling restart, a dead machine.",
        "Instances share nothing that could become the bottleneck, and load is spread evenly over them.",
        "Documents, queries, their popularity and the share of cached replies are as they were when it was measured.",
        "All instances are of the machine and the settings that the curve was measured on.",
    )


def _point(figures: Mapping[str, Any]) -> Measured:
    return Measured(
        offered_qps=figures["offered_qps"],
        attainment=figures["attainment"],
        model_share=figures["model_share"],
        p99_ms=figures["accepted"]["p99_ms"],
    )
