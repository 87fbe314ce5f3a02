"""Evaluate systems on rows: read, summarise, measure, report. What `qdts eval` calls."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from qdts.errors import ConfigError
from qdts.models.evaluation.baselines import EMBEDDING_BASELINE
from qdts.models.evaluation.config import EvaluationConfig
from qdts.models.evaluation.environment import describe_environment
from qdts.models.evaluation.metrics import measure
from qdts.models.evaluation.plot import PLOT_PACKAGE, save_plot
from qdts.models.evaluation.report import Measured, Report, score_systems
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import SAMPLE_V1, load_row_file
from qdts.models.evaluation.semantic import EMBEDDING_PACKAGE, Embedder, MiniLm, embed_all, measure_semantic
from qdts.models.evaluation.splits import EVAL_V1, evaluation_ids, limit_ids, load_rows
from qdts.models.evaluation.systems import RUNG_NAMES, System, baseline_system, rung_system
from qdts.models.evaluation.tables import to_markdown

T = TypeVar("T")


def run_evaluation(config: EvaluationConfig) -> Report:
    """Evaluate; with `out_dir`, also write report.json, report.md, report.png and outputs.jsonl there."""
    rows = _load(config)
    embedder = MiniLm() if _uses_embeddings(config) else None
    systems = [*_model_free_systems(config, embedder), *_generative_systems(config)]
    measured = [_measure(system, rows, embedder, config) for system in systems]
    report = Report(
        settings=_settings(config),
        environment=describe_environment(),
        num_rows=dict(Counter(row.set for row in rows)),
        systems=score_systems(rows, measured, config.seed),
        notes=_notes(embedder),
    )
    if config.out_dir is not None:
        _save(report, rows, measured, config.out_dir)
    return report


def _notes(embedder: Embedder | None) -> tuple[str, ...]:
    missing: list[str] = []
    if embedder is None:
        missing.append(f"Without embeddings ({EMBEDDING_PACKAGE}): no cosines, no minilm_1.")
    if find_spec(PLOT_PACKAGE) is None:
        missing.append(f"Without {PLOT_PACKAGE}: no picture.")
    return tuple(missing)


def _load(config: EvaluationConfig) -> list[EvalRow]:
    if config.data is not None and config.data.is_dir():
        ids = _of_sets(evaluation_ids(), config.sets)
        return load_rows(config.data, ids if config.rows_per_set is None else limit_ids(ids, config.rows_per_set))
    grouped: dict[str, list[EvalRow]] = {}
    for row in load_row_file(config.data or SAMPLE_V1):
        grouped.setdefault(row.set, []).append(row)
    return [row for rows in _of_sets(grouped, config.sets).values() for row in rows[: config.rows_per_set]]


def _of_sets(by_set: Mapping[str, T], sets: Sequence[str]) -> dict[str, T]:
    """Those of the named sets; all if none is named."""
    if unknown := [name for name in sets if name not in by_set]:
        raise ConfigError(f"sets: {unknown[0]!r} is not one of {', '.join(by_set)}")
    return {name: value for name, value in by_set.items() if not sets or name in sets}


def _uses_embeddings(config: EvaluationConfig) -> bool:
    return config.semantic if config.semantic is not None else find_spec(EMBEDDING_PACKAGE) is not None


def _model_free_systems(config: EvaluationConfig, embedder: Embedder | None) -> list[System]:
    systems: list[System] = []
    for name in config.systems:
        if name in RUNG_NAMES:
            systems.append(rung_system(name, config.max_words))
        elif name != EMBEDDING_BASELINE or embedder is not None:
            systems.append(baseline_system(name, embedder, config.baseline_max_words))
    return systems


def _generative_systems(config: EvaluationConfig) -> list[System]:
    if config.model_dir is None:
        return []
    # Here and not above: the baselines are evaluated where no runtime is installed.
    from qdts.models.evaluation.generative import generative_systems

    return [*generative_systems(config, config.model_dir)]


def _measure(system: System, rows: Sequence[EvalRow], embedder: Embedder | None, config: EvaluationConfig) -> Measured:
    # disable=None shows the bar on a terminal only.
    bar = tqdm(rows, desc=system.name, unit="row", disable=None if config.progress else True)
    outputs = [system.summarise(row) for row in bar]
    measures = [measure(output.sentences, row) for output, row in zip(outputs, rows, strict=True)]
    texts = [output.text for output in outputs]
    if embedder is not None:
        embed_all(embedder, texts, rows)
        for of_row, text, row in zip(measures, texts, rows, strict=True):
            of_row.update(measure_semantic(text, row, embedder))
    return Measured(name=system.name, texts=texts, measures=measures, facts=[output.facts for output in outputs])


def _settings(config: EvaluationConfig) -> dict[str, object]:
    """The configuration without paths: they differ between machines and say nothing of the result."""
    paths = ("data", "model_dir", "out_dir", "progress")
    settings: dict[str, object] = {name: value for name, value in asdict(config).items() if name not in paths}
    data = config.data or SAMPLE_V1
    settings["rows"] = EVAL_V1.stem if data.is_dir() else data.name
    settings["model"] = "" if config.model_dir is None else config.model_dir.name
    return settings


def _save(report: Report, rows: Sequence[EvalRow], measured: Sequence[Measured], out_dir: Path) -> None:
    report.save_json(out_dir / "report.json")
    (out_dir / "report.md").write_text(to_markdown(report), encoding="utf-8")
    lines = [
        json.dumps({"system": system.name, "set": row.set, "id": row.id, "summary": text, **measures})
        for system in measured
        for row, text, measures in zip(rows, system.texts, system.measures, strict=True)
    ]
    (out_dir / "outputs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if find_spec(PLOT_PACKAGE) is not None:
        save_plot(report, out_dir / "report.png")
