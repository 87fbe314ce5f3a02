"""The whole way at toy scale: counted, the same every time, and free of the evaluation set."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.errors import ConfigError
from qdts.models.evaluation.contamination import Contamination
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file
from qdts.models.lexicon import Lexicon
from qdts.models.tokenizer import NONE
from qdts.models.training.data import prepare as prepare_module
from qdts.models.training.data.chunks import Chunk
from qdts.models.training.data.collecting import Collector
from qdts.models.training.data.config import CleanConfig, PrepareConfig, Source, VariantConfig, WeakConfig
from qdts.models.training.data.prepare import prepare
from qdts.models.training.data.reading import Line
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.dataset import ExampleSet

EVALUATED = [row for row in load_row_file() if row.set in ("squad_dev", "selqa_dev_test")][:20]
OTHERS = [row for row in load_row_file() if row not in EVALUATED][::4]


def as_fields(row: EvalRow, **changes: Any) -> dict[str, Any]:
    fields = {"query": row.query, "title": row.title, "text": row.document, "answer": row.references[0]}
    return fields | {"licence": "CC0" if row.set.startswith("docs") else "CC BY-SA 3.0", "source": row.set} | changes


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tokenizer_path: Path, lexicon: Lexicon) -> Path:
    directory = tmp_path_factory.mktemp("model")
    shutil.copyfile(tokenizer_path, directory / "tokenizer.json")
    lexicon.save(directory / "lexicon.safetensors")
    return directory


@pytest.fixture
def config(model: Path, tmp_path: Path, page_text: str) -> PrepareConfig:
    rows = [as_fields(row) for row in OTHERS]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, [*rows, *rows[:3]])))
    (tmp_path / "prose.txt").write_text(f"{page_text}\n<|doc|>\nToo\nshort.\n")
    return PrepareConfig(
        model=model,
        out=tmp_path / "out",
        sources=(
            Source(paths=(tmp_path / "mine.jsonl",), hold_out=False),
            Source(paths=(tmp_path / "prose.txt",), licence="MIT", name="Trains"),
        ),
    )


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_every_row_is_accounted_for(config: PrepareConfig) -> None:
    tally = prepare(config)
    report = json.loads((config.out / "report.json").read_text())
    sources = json.loads((config.out / "sources.json").read_text())
    data = ExampleSet(config.out)
    assert len(data) == tally.written.total() == report["written"] == sources["rows"]
    assert sources["rows"] == sum(row["rows"] for row in sources["sources"])
    assert {row["licence"] for row in sources["sources"]} == {"CC0", "CC BY-SA 3.0", "MIT"}
    mine = report["files"]["mine"]
    assert mine["read"] == len(OTHERS) + 3 and mine["dropped"]["repeated row"] == 3
    written = sum(row["rows"] for row in sources["sources"] if row["source"] != "Trains")
    # Every row read is dropped or written; negatives come on top.
    assert mine["read"] - sum(mine["dropped"].values()) <= written
    assert written <= mine["read"] - sum(mine["dropped"].values()) + report["traits"]["negative"]
    negatives = sum(int(data[i].target[0]) == NONE for i in range(len(data)))
    assert negatives == report["traits"]["negative"] > 0


def test_the_same_config_writes_the_same_files(config: PrepareConfig) -> None:
    first = files_of_run(config)
    assert files_of_run(replace(config, num_workers=2)) == first
    assert files_of_run(replace(config, seed=1)) != first


def files_of_run(config: PrepareConfig) -> dict[str, bytes]:
    shutil.rmtree(config.out, ignore_errors=True)
    prepare(config)
    return files_of(config.out)


def test_a_dry_run_counts_and_writes_no_examples(config: PrepareConfig) -> None:
    tally = prepare(replace(config, dry_run=True))
    assert sorted(files_of(config.out)) == ["report.json", "sources.json"]
    report = tally.report()
    kept = report["files"]["mine"]["read"] - sum(report["files"]["mine"]["dropped"].values())
    assert kept == sum(count for origin, count in tally.written.items() if origin.source != "Trains") > 0


def test_a_limit_is_kept_and_counted(config: PrepareConfig) -> None:
    tally = prepare(replace(config, max_examples=7))
    assert tally.written.total() == len(ExampleSet(config.out)) == 7
    assert tally.sources()["rows"] == 7


def test_bad_rows_are_counted_up_to_their_bound(config: PrepareConfig, tmp_path: Path) -> None:
    good = [json.dumps(as_fields(row)) for row in OTHERS]
    bad = ['{"query": "who?", "answer": "a"}', "not json"]
    (tmp_path / "mine.jsonl").write_text("\n".join([*good, *bad]))
    config = replace(config, sources=config.sources[:1])
    tally = prepare(replace(config, max_bad_share=0.1))
    assert tally.report()["bad"] == 2 and tally.report()["files"]["mine"]["bad"] == 2
    with pytest.raises(
        ConfigError, match=rf"mine: 2 of .* line {len(good) + 1}: field 'doc' .* line {len(good) + 2}: not J"
    ):
        prepare(config)


def test_a_set_that_evaluates_is_kept_out(
    config: PrepareConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With everything evaluated on, nothing is left to train on but the page of prose."""
    everything = Contamination(load_row_file())
    monkeypatch.setattr(Contamination, "load", lambda _: everything)
    tally = prepare(replace(config, evaluation=tmp_path))
    assert {origin.source for origin in tally.written} == {"Trains"}
    assert tally.report()["files"]["mine"]["dropped"]["contaminated by the evaluation set"] > len(OTHERS)
    assert prepare_module.Contamination is Contamination


def collector(rows: list[EvalRow]) -> Collector:
    return Collector(contamination=Contamination(rows), clean=CleanConfig(), weak=WeakConfig())


EVALUATION = collector(EVALUATED)
INNOCENT = (
    "The baker sold bread and rolls at the market every day but Sunday, and she knew all of her customers by name. "
)


@given(
    index=st.integers(0, len(EVALUATED) - 1),
    start=st.integers(0, 400),
    length=st.integers(13, 40),
    where=st.sampled_from(["document", "query", "reference", "id", "prose"]),
    shout=st.booleans(),
)
def test_a_contaminated_row_never_passes(index: int, start: int, length: int, where: str, shout: bool) -> None:
    """Thirteen words in a row, a query or an id of an evaluation row, hidden in an innocent one."""
    row = EVALUATED[index]
    words = row.document.split()
    start = min(start, max(0, len(words) - length))
    stolen = " ".join(words[start : start + length])
    stolen = stolen.upper() if shout else stolen
    fields = {
        "id": "mine-1",
        "query": "Who sold bread at the market?",
        "doc": INNOCENT * 2,
        "summary": INNOCENT.strip(),
    }
    changes = {
        "document": {"doc": f"{INNOCENT}\n{stolen}\n{INNOCENT}"},
        "query": {"query": f" {row.query.rstrip('?').upper()} "},
        "reference": {"summary": f"{stolen} and more"},
        "id": {"id": row.id},
        "prose": {},
    }[where]
    source = Source(paths=(Path("x.jsonl"),), licence="CC0", hold_out=False, max_lead_share=1.0)
    chunk = Chunk(
        source=source, file="x", seed="0", num_read=1, lines=(Line(1, json.dumps(fields | changes).encode()),)
    )
    if where == "prose":
        page = f"Bread\n\n{INNOCENT * 3}\n{stolen}.\n{INNOCENT * 3}"
        chunk = replace(chunk, lines=(), documents=(page,) * 2)
    for made in EVALUATION.collect(chunk).rows:
        assert where == "prose"
        assert not set(grams(made)) & set(grams_of(row.document))


def grams_of(text: str) -> list[tuple[str, ...]]:
    words = [word for word in "".join(c if c.isalnum() or c == "_" else " " for c in text.lower()).split()]
    return [tuple(words[i : i + 13]) for i in range(len(words) - 12)]


def grams(row: TrainRow) -> list[tuple[str, ...]]:
    return grams_of(row.document)


def test_the_innocent_row_passes() -> None:
    fields = {"query": "Who sold bread at the market?", "doc": INNOCENT * 2, "summary": INNOCENT.strip()}
    source = Source(paths=(Path("x.jsonl"),), hold_out=False)
    line = Line(1, json.dumps(fields).encode())
    collected = EVALUATION.collect(Chunk(source=source, file="x", seed="0", num_read=1, lines=(line,)))
    assert len(collected.rows) == 1 and not collected.tally.dropped


@pytest.mark.parametrize(
    ("changes", "file", "reason"),
    [
        ({"history": ["user: hello"]}, "x", "later turn of a dialogue"),
        ({"split": "test"}, "qmsum", "official test split"),
        ({"id": EVALUATED[0].id}, "x", "evaluation row"),
    ],
)
def test_rows_on_evaluation_s_side(changes: dict[str, Any], file: str, reason: str) -> None:
    fields = {"query": "Who sold bread?", "doc": INNOCENT * 2, "summary": INNOCENT.strip()} | changes
    chunk = Chunk(
        source=Source(paths=(Path("x.jsonl"),), hold_out=False),
        file=file,
        seed="0",
        num_read=1,
        lines=(Line(1, json.dumps(fields).encode()),),
    )
    assert dict(EVALUATION.collect(chunk).tally.dropped) == {(file, reason): 1}


def test_the_rule_that_holds_out_sees_the_text_as_it_came() -> None:
    """About 15 of 100 documents, and the same ones for which the evaluation's own rule says so."""
    from qdts.models.evaluation.splits import is_held_out

    documents = [f"T\n{INNOCENT * 2} {i} " for i in range(200)]
    lines = tuple(
        Line(i, json.dumps({"query": f"bread {i}", "title": "T", "doc": doc, "summary": INNOCENT.strip()}).encode())
        for i, doc in enumerate(documents)
    )
    chunk = Chunk(source=Source(paths=(Path("x.jsonl"),)), file="x", seed="0", num_read=200, lines=lines)
    held_out = EVALUATION.collect(chunk).tally.dropped["x", "held out by the evaluation's rule"]
    assert held_out == sum(map(is_held_out, documents)) > 0


def test_all_kinds_of_rows_are_limited_alike(config: PrepareConfig) -> None:
    """No variants, no leads: what is left is answered further down."""
    sources = tuple(replace(source, max_lead_share=0.0) for source in config.sources)
    config = replace(config, sources=sources, variants=VariantConfig(negative_share=0.0, joined_share=0.0))
    tally = prepare(config)
    assert tally.traits["lead"] == tally.traits["negative"] == tally.traits["joined"] == 0
    data = ExampleSet(config.out)
    assert np.mean([int(data[i].target[0]) > 8 for i in range(len(data))]) > 0.9
