"""Medians of pairwise ratios, and what of them is reported."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from qdts.loadtest.peers.base import Family, Role, Scenario, Text
from qdts.loadtest.peers.systems import JUDGED, ORACLE, OURS, SEED_ORACLE, UNDRAFTED
from qdts.loadtest.peers.turns import Row
from qdts.loadtest.peers.worker import Answer

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
    """The name with the lowest median among those that were asked; None of none."""
    asked = [name for name in names if rows[name].ms(scenario)]
    return min(asked, key=lambda name: float(np.median(rows[name].ms(scenario))), default=None)


def headline(rows: Rows) -> dict[str, float | str | None]:
    """What is compared with the bars: ours, drafted, against the best of each kind.

    indexed_vs_best_peer: our time for a known document against the best peer's for a new one, since no peer offers to
    keep what its encoder says. indexed_vs_best_warm_peer is stricter: peers are handed their encoder's output, which
    their users would have to keep by themselves. Peers are those of JUDGED; `*_of_all` counts the others, too.
    """
    peers = [name for name, row in rows.items() if row.system.role is Role.PEER]
    judged = [name for name in peers if name.startswith(JUDGED)]
    seeds = [name for name, row in rows.items() if row.system.role is Role.SEED]
    joint, indexed, batch = Scenario
    best, of_all = ({scenario: fastest(rows, names, scenario) for scenario in Scenario} for names in (judged, peers))
    seed = fastest(rows, seeds, joint)

    def against(theirs: str | None, their: Scenario, our: Scenario, ours: str = OURS) -> float | None:
        return _median_ratio(rows, (theirs, their), (ours, our))

    return {
        "joint_vs_best_peer": against(best[joint], joint, joint),
        "indexed_vs_best_peer": against(best[joint], joint, indexed),
        "joint_vs_seed_shape": against(seed, joint, joint),
        "indexed_vs_seed_shape": against(seed, joint, indexed),
        "batch8_vs_best_peer": against(best[batch], batch, batch),
        "indexed_vs_best_warm_peer": against(best[indexed], indexed, indexed),
        "best_peer": best[joint],
        "best_warm_peer": best[indexed],
        "best_peer_batch8": best[batch],
        "best_seed_engine": seed,
        "joint_undrafted_vs_best_peer": against(best[joint], joint, joint, UNDRAFTED),
        "indexed_undrafted_vs_best_peer": against(best[joint], joint, indexed, UNDRAFTED),
        "indexed_undrafted_vs_best_warm_peer": against(best[indexed], indexed, indexed, UNDRAFTED),
        "batch8_undrafted_vs_best_peer": against(best[batch], batch, batch, UNDRAFTED),
        "best_of_all": of_all[joint],
        "joint_vs_best_of_all": against(of_all[joint], joint, joint),
        "indexed_vs_best_of_all": against(of_all[joint], joint, indexed),
        "best_warm_of_all": of_all[indexed],
        "indexed_vs_best_warm_of_all": against(of_all[indexed], indexed, indexed),
        "best_of_all_batch8": of_all[batch],
        "batch8_vs_best_of_all": against(of_all[batch], batch, batch),
    }


def _median_ratio(rows: Rows, theirs: tuple[str | None, Scenario], ours: tuple[str, Scenario]) -> float | None:
    name, scenario = theirs
    if name is None or ours[0] not in rows or not rows[ours[0]].ms(ours[1]):
        return None
    return quartiles(ratios(rows[name].ms(scenario), rows[ours[0]].ms(ours[1])))["median"]


def tokens_per_step(answers: Sequence[Answer]) -> float:
    """Of one sequence, the chosen token included."""
    written = [one for answer in answers for one in answer.written]
    return round(sum(len(one.tokens) for one in written) / sum(one.num_steps for one in written), 2)


def same_share(row: Row, rows: Rows) -> float | None:
    """The share of answers that are the oracle's, over all scenarios; None where no oracle was asked, or where it wrote
    summaries and the system could not."""
    oracle = rows.get(_ORACLES[row.system.family])
    if oracle is None or (row.text is Text.SUMMARY and row.system.writes_summaries != oracle.system.writes_summaries):
        return None
    pairs = [pair for scenario in Scenario for pair in zip(row.tokens(scenario), oracle.tokens(scenario), strict=False)]
    return round(sum(ours == theirs for ours, theirs in pairs) / len(pairs), 4)


def same_tokens(rows: Rows) -> bool:
    """Does every fp32 system write the oracle's tokens everywhere?"""
    shares = [same_share(row, rows) for row in rows.values() if row.system.is_exact]
    return all(share in (None, 1.0) for share in shares)


def describe(row: Row, rows: Rows) -> dict[str, Any]:
    """Everything about one system. Milliseconds of a batch are those of all its requests."""
    documents = row.answers[Scenario.JOINT]
    found: dict[str, Any] = {
        "role": row.system.role.value,
        "keeps_states": row.system.keeps_states,
        "same_tokens": same_share(row, rows),
        "tokens": float(np.median([len(tokens) for tokens in row.tokens(Scenario.JOINT)])),
        "tokens_per_step": tokens_per_step(documents),
        "peak_memory_mb": round(documents[-1].peak_mb),
    }
    for scenario in (scenario for scenario in Scenario if row.answers[scenario]):
        ms = row.ms(scenario)
        num_requests = len(row.answers[scenario][0].written)
        found[f"{scenario.value}_ms"] = quartiles(ms, 2)
        found[f"{scenario.value}_requests_per_s"] = round(1000 * num_requests / float(np.median(ms)), 2)
    if batches := row.answers[Scenario.BATCH8]:
        found["batch8_tokens_per_step"] = tokens_per_step(batches)
        found["batch8_peak_memory_mb"] = round(batches[-1].peak_mb)
        found["batch8_ways"] = dict(Counter(answer.way.value for answer in batches))
    return found


def ratio_table(rows: Rows) -> dict[str, dict[str, dict[str, float]]]:
    """Ours, drafted, against every other system of equal work: by scenario median and quartiles.

    In `indexed` a system that can be handed its encoder's output is.
    """
    others = [row for row in rows.values() if row.system.role in (Role.PEER, Role.SEED)]
    return {
        row.system.name: {
            scenario.value: quartiles(ratios(row.ms(scenario), rows[OURS].ms(scenario)))
            for scenario in Scenario
            if row.ms(scenario)
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
