"""Medians of pairwise ratios, and what of them is reported."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from qdts.loadtest.peers.base import Family, Role, Scenario
from qdts.loadtest.peers.systems import JUDGED, ORACLE, OURS, SEED_ORACLE, UNDRAFTED
from qdts.loadtest.peers.turns import Row

Rows = Mapping[str, Row]
_PACKAGES = ("ctranslate2", "llama-cpp-python", "nncf", "onnxruntime", "openvino", "torch", "transformers")
_ORACLES = {Family.ENCODER_DECODER: ORACLE, Family.DECODER_ONLY: SEED_ORACLE}


def quartiles(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Median, first and third quartile."""
    low, median, high = (round(float(value), digits) for value in np.percentile(values, (25, 50, 75)))
    return {"median": median, "low": low, "high": high}


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Requests a second of ours per one of theirs, document by document; above 1 ours are more."""
    return [slow / fast for slow, fast in zip(theirs, ours, strict=True)]


def fastest(rows: Rows, names: Sequence[str], scenario: Scenario) -> str | None:
    """The name with the lowest median; None of none."""
    return min(names, key=lambda name: float(np.median(rows[name].ms(scenario))), default=None)


def headline(rows: Rows) -> dict[str, float | str | None]:
    """What is compared with the bars: ours, drafted, against the best of each kind.

    In `indexed` a peer that can be given the encoder's output is; against `*_cold_peer` the best one encodes. Peers are
    those of JUDGED; `*_of_all` counts plain ONNX Runtime, too.
    """
    peers = [name for name, row in rows.items() if row.system.role is Role.PEER]
    judged = [name for name in peers if name.startswith(JUDGED)]
    seeds = [name for name, row in rows.items() if row.system.role is Role.SEED]
    joint, indexed = Scenario.JOINT, Scenario.INDEXED
    best = {scenario: fastest(rows, judged, scenario) for scenario in Scenario}
    of_all = {scenario: fastest(rows, peers, scenario) for scenario in Scenario}
    seed = fastest(rows, seeds, joint)
    return {
        "joint_vs_best_peer": _median_ratio(rows, (best[joint], joint), (OURS, joint)),
        "indexed_vs_best_peer": _median_ratio(rows, (best[indexed], indexed), (OURS, indexed)),
        "joint_vs_seed_shape": _median_ratio(rows, (seed, joint), (OURS, joint)),
        "indexed_vs_seed_shape": _median_ratio(rows, (seed, joint), (OURS, indexed)),
        "best_peer": best[joint],
        "best_peer_indexed": best[indexed],
        "best_seed_engine": seed,
        "joint_undrafted_vs_best_peer": _median_ratio(rows, (best[joint], joint), (UNDRAFTED, joint)),
        "indexed_undrafted_vs_best_peer": _median_ratio(rows, (best[indexed], indexed), (UNDRAFTED, indexed)),
        "indexed_vs_best_cold_peer": _median_ratio(rows, (best[joint], joint), (OURS, indexed)),
        "best_of_all": of_all[joint],
        "joint_vs_best_of_all": _median_ratio(rows, (of_all[joint], joint), (OURS, joint)),
        "best_of_all_indexed": of_all[indexed],
        "indexed_vs_best_of_all": _median_ratio(rows, (of_all[indexed], indexed), (OURS, indexed)),
    }


def _median_ratio(rows: Rows, theirs: tuple[str | None, Scenario], ours: tuple[str, Scenario]) -> float | None:
    name, scenario = theirs
    if name is None or ours[0] not in rows:
        return None
    return quartiles(ratios(rows[name].ms(scenario), rows[ours[0]].ms(ours[1])))["median"]


def same_share(row: Row, rows: Rows) -> float | None:
    """The share of answers that are the oracle's, over all scenarios; None where no oracle was asked."""
    oracle = rows.get(_ORACLES[row.system.family])
    if oracle is None or row.system.role is Role.PRODUCT:
        return None
    pairs = [pair for scenario in Scenario for pair in zip(row.tokens(scenario), oracle.tokens(scenario), strict=False)]
    return round(sum(ours == theirs for ours, theirs in pairs) / len(pairs), 4)


def same_tokens(rows: Rows) -> bool:
    """Does every fp32 system write the oracle's tokens everywhere?"""
    shares = [same_share(row, rows) for row in rows.values() if row.system.is_exact]
    return all(share in (None, 1.0) for share in shares)


def describe(row: Row, rows: Rows, peak_mb: float) -> dict[str, Any]:
    """Everything about one system."""
    answers = row.answers[Scenario.JOINT]
    written = [answer.written for answer in answers]
    num_tokens = sum(len(one.tokens) for one in written)
    found: dict[str, Any] = {
        "role": row.system.role.value,
        "keeps_states": row.system.keeps_states,
        "same_tokens": same_share(row, rows),
        "tokens": round(num_tokens / len(written), 1),
        "tokens_per_step": round(num_tokens / sum(one.num_steps for one in written), 2),
        "peak_memory_mb": round(peak_mb),
    }
    for scenario in (scenario for scenario in Scenario if row.answers[scenario]):
        ms = row.ms(scenario)
        found[f"{scenario.value}_ms"] = quartiles(ms, 2)
        found[f"{scenario.value}_requests_per_s"] = round(1000 / float(np.median(ms)), 2)
    return found


def ratio_table(rows: Rows) -> dict[str, dict[str, dict[str, float]]]:
    """Ours, drafted, against every other system of equal work: by scenario median and quartiles."""
    others = [row for row in rows.values() if row.system.role in (Role.PEER, Role.SEED)]
    return {
        row.system.name: {
            scenario.value: quartiles(ratios(row.ms(scenario), rows[OURS].ms(scenario))) for scenario in Scenario
        }
        for row in others
        if OURS in rows
    }


def package_versions() -> dict[str, str]:
    """Of the engines that are installed."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
