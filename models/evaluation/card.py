"""What a manifest says of a model's quality, and whether another evaluation says the same.

A card holds means, not intervals: per system the mean of the sets' means (`systems`) and per system and set
(`by_set`), with the settings that gave them. Measures that need an optional package are left out, so that anybody
can recompute a card. Knows nothing of manifests.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, cast

from qdts.errors import ConfigError
from qdts.models.evaluation.baselines import EMBEDDING_BASELINE
from qdts.models.evaluation.bootstrap import Score
from qdts.models.evaluation.config import EvaluationConfig
from qdts.models.evaluation.metrics import SEMANTIC_QUERY, SEMANTIC_REFERENCE, WORDS
from qdts.models.evaluation.report import Report, SystemReport
from qdts.models.evaluation.run import run_evaluation
from qdts.models.evaluation.samples import SAMPLE_V1
from qdts.models.evaluation.splits import EVAL_V1
from qdts.models.evaluation.systems import BASELINE_NAMES, EXTRACTIVE_RUNG, RUNG_NAMES
from qdts.models.prompt import Mode

Card = Mapping[str, Any]

MEAN_OF_SETS = "mean"
# On the same rows another CPU may decide a few of them otherwise.
_TOLERANCE = 0.005
_TOLERANCE_WORDS = 0.5
# The means of fewer rows say too little to be compared with those of other rows.
_MIN_ROWS = 20
_LEFT_OUT = (SEMANTIC_REFERENCE, SEMANTIC_QUERY)
_DEFAULT_SETTINGS = {"rows": EVAL_V1.stem, "max_words": 50, "baseline_max_words": None, "rows_per_set": None}
_SAMPLE_BASELINES = ("bm25_1", EXTRACTIVE_RUNG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One number of a card and the one found now; `tolerance` None where they cannot be compared."""

    system: str
    set: str
    measure: str
    on_card: float
    found: float
    tolerance: float | None

    @property
    def holds(self) -> bool:
        """Is what was found what the card says? True where it cannot be compared."""
        return self.tolerance is None or abs(self.found - self.on_card) <= self.tolerance


def card_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The card of a report (its JSON form); ConfigError where it is none."""
    try:
        settings = {name: report["settings"].get(name) for name in _DEFAULT_SETTINGS}
        systems = [system for system in report["systems"] if system["name"] != EMBEDDING_BASELINE]
        return {
            "evaluation": _describe(settings, report["num_rows"]),
            "settings": settings,
            "num_rows": report["num_rows"],
            "systems": {system["name"]: _means(system["macro"]) for system in systems},
            "by_set": {
                system["name"]: {name: _means(scores) for name, scores in system["by_set"].items()}
                for system in systems
            },
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"metrics: not a report of `qdts eval` ({type(error).__name__}: {error})") from error


def sample_card(model_dir: Path, precisions: Sequence[str], rows_per_set: int | None) -> dict[str, Any]:
    """The model on the shipped sample, in both modes, beside two systems that need no model."""
    config = EvaluationConfig(
        model_dir=model_dir,
        precisions=tuple(precisions),
        systems=_SAMPLE_BASELINES,
        rows_per_set=rows_per_set,
        semantic=False,
    )
    return card_of(run_evaluation(config).to_json())


def choose_card(metrics: Card, data: Path | None) -> Card:
    """The part of a manifest's metrics that was measured on `data` (None: the sample that ships)."""
    wanted = SAMPLE_V1.name if data is None else EVAL_V1.stem if data.is_dir() else data.name
    cards = [card for card in (metrics, metrics.get("sample", {})) if card.get("systems")]
    for card in cards:
        if _settings(card)["rows"] == wanted:
            return card
    known = ", ".join(str(_settings(card)["rows"]) for card in cards) or "none"
    raise ConfigError(f"the manifest has no metrics for {wanted}; it has some for: {known}")


def evaluation_of(card: Card, model_dir: Path, data: Path | None, rows_per_set: int | None) -> EvaluationConfig:
    """The evaluation that recomputes a card, on at most `rows_per_set` rows of each set."""
    settings, names = _settings(card), list(card["systems"])
    parts = [name.split("/") for name in names if name.count("/") == 2]
    if not parts:
        raise ConfigError("the card names no result of the model itself")
    limits = [limit for limit in (rows_per_set, settings["rows_per_set"]) if limit is not None]
    return EvaluationConfig(
        data=data,
        sets=tuple(card.get("settings", {}).get("sets") or ()),
        rows_per_set=min(limits) if limits else None,
        systems=tuple(name for name in names if name in BASELINE_NAMES + RUNG_NAMES and name != EMBEDDING_BASELINE),
        model_dir=model_dir,
        modes=cast(tuple[Mode, ...], tuple(dict.fromkeys(part[0] for part in parts))),
        runtimes=tuple(dict.fromkeys(part[1] for part in parts)),
        precisions=tuple(dict.fromkeys(part[2] for part in parts)),
        max_words=settings["max_words"],
        baseline_max_words=settings["baseline_max_words"],
        semantic=False,
    )


def compare(card: Card, report: Report) -> list[Check]:
    """Every number that both have, the card's order.

    Of the same rows: within half a point (half a word), in a single set within what one row can change. Of fewer
    rows: within the bootstrap interval of what was found, widened for the number of comparisons (Bonferroni).
    """
    is_same_rows = sum(report.num_rows.values()) == _num_rows(card)
    pairs = [*_pairs(card, report)]
    width = 1.0 if not pairs else NormalDist().inv_cdf(1 - 0.025 / len(pairs)) / NormalDist().inv_cdf(0.975)
    return [
        Check(
            system=system,
            set=name,
            measure=measure,
            on_card=on_card,
            found=score.mean,
            tolerance=_same_rows(name, measure, score) if is_same_rows else _fewer_rows(measure, score, width),
        )
        for system, name, measure, on_card, score in pairs
    ]


def _pairs(card: Card, report: Report) -> Iterator[tuple[str, str, str, float, Score]]:
    systems = {system.name: system for system in report.systems}
    for name, means in card["systems"].items():
        if name in systems:
            sets = {MEAN_OF_SETS: means, **card.get("by_set", {}).get(name, {})}
            for of_set, values in sets.items():
                scores = _scores(systems[name], of_set)
                for measure, on_card in values.items():
                    if measure in scores:
                        yield name, of_set, measure, float(on_card), scores[measure]


def _scores(system: SystemReport, name: str) -> dict[str, Score]:
    return system.macro if name == MEAN_OF_SETS else system.by_set.get(name, {})


def _same_rows(name: str, measure: str, score: Score) -> float:
    tolerance = _TOLERANCE_WORDS if measure == WORDS else _TOLERANCE
    if name == MEAN_OF_SETS:
        return tolerance
    one_row = (score.mean if measure == WORDS else 1.0) / score.count
    return max(tolerance, one_row)


def _fewer_rows(measure: str, score: Score, width: float) -> float | None:
    if score.count < _MIN_ROWS:
        return None
    half = max(score.high - score.mean, score.mean - score.low)
    return width * half + (_TOLERANCE_WORDS if measure == WORDS else _TOLERANCE)


def _settings(card: Card) -> dict[str, Any]:
    return {**_DEFAULT_SETTINGS, **card.get("settings", {})}


def _num_rows(card: Card) -> int:
    """0 where an early manifest says it in prose only."""
    return sum(card.get("num_rows", {}).values())


def _means(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {name: round(score["mean"], 4) for name, score in scores.items() if name not in _LEFT_OUT}


def _describe(settings: Mapping[str, Any], num_rows: Mapping[str, int]) -> str:
    total, sets = sum(num_rows.values()), len(num_rows)
    return f"{settings['rows']}: {total} rows, {sets} sets, mean of the sets; at most {settings['max_words']} words"
