"""The result of a run: scores per system and set, where they were measured, and how they are saved.

Numbers only; tables.py turns them into text, plot.py into a picture.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from qdts.models.evaluation.bootstrap import Score, macro_score, mean_score
from qdts.models.evaluation.metrics import Measures
from qdts.models.evaluation.rows import EvalRow

Scores = dict[str, Score]

REFERENCE_SYSTEM = "bm25_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemReport:
    """One system's scores. A measure that applies to no row of a set is absent there.

    `macro` is the mean of the sets' means, `micro` the mean over all rows, `gain` the macro mean of the
    row-by-row difference from the reference system; `facts` are means over rows.
    """

    name: str
    by_set: dict[str, Scores]
    macro: Scores
    micro: Scores
    gain: Scores
    facts: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All systems on the same rows; `settings` and `environment` say how and where."""

    settings: dict[str, object]
    environment: dict[str, object]
    num_rows: dict[str, int]
    systems: tuple[SystemReport, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The report as JSON-ready values, scores rounded to four places."""
        values = {**asdict(self), "reference_system": REFERENCE_SYSTEM}
        return json.loads(json.dumps(values), parse_float=lambda text: round(float(text), 4))

    def save_json(self, path: Path) -> None:
        """Write the JSON form."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a system said and how that measures: one entry per row, in the rows' order."""

    name: str
    texts: Sequence[str]
    measures: Sequence[Measures]
    facts: Sequence[Mapping[str, float]]


def score_systems(rows: Sequence[EvalRow], measured: Sequence[Measured], seed: int) -> tuple[SystemReport, ...]:
    """Scores of every system; gains only where the reference system was measured too."""
    reference = next((system for system in measured if system.name == REFERENCE_SYSTEM), None)
    return tuple(_score_system(rows, system, reference, seed) for system in measured)


def _score_system(rows: Sequence[EvalRow], system: Measured, reference: Measured | None, seed: int) -> SystemReport:
    groups = _group(rows, system.measures)
    gains = _group(rows, _differences(system, reference))
    return SystemReport(
        name=system.name,
        by_set=_scores_by_set(groups, seed),
        macro={name: macro_score([*sets.values()], seed) for name, sets in groups.items()},
        micro={name: mean_score([*chain(*sets.values())], seed) for name, sets in groups.items()},
        gain={name: macro_score([*sets.values()], seed) for name, sets in gains.items()},
        facts=_mean_facts(system.facts),
    )


def _group(rows: Sequence[EvalRow], measures: Sequence[Measures]) -> dict[str, dict[str, list[float]]]:
    """Measure -> set -> values of the rows that have it; no measures give no groups."""
    groups: dict[str, dict[str, list[float]]] = {}
    for row, of_row in zip(rows, measures, strict=False):
        for name, value in of_row.items():
            groups.setdefault(name, {}).setdefault(row.set, []).append(value)
    return groups


def _scores_by_set(groups: Mapping[str, Mapping[str, Sequence[float]]], seed: int) -> dict[str, Scores]:
    by_set: dict[str, Scores] = {}
    for name, sets in groups.items():
        for set_name, values in sets.items():
            by_set.setdefault(set_name, {})[name] = mean_score(values, seed)
    return by_set


def _differences(system: Measured, reference: Measured | None) -> list[Measures]:
    if reference is None or reference is system:
        return []
    pairs = zip(system.measures, reference.measures, strict=True)
    return [{name: ours[name] - theirs[name] for name in ours if name in theirs} for ours, theirs in pairs]


def _mean_facts(facts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for of_row in facts for name in of_row)
    return {name: sum(of_row.get(name, 0.0) for of_row in facts) / len(facts) for name in names}
