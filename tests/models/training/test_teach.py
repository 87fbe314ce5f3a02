"""The stage from rows to taught rows: what is kept, left out, counted, and asked again after a run was cut short."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import ConfigError, Unavailable, WeightsMissing
from qdts.models.evaluation.splits import is_held_out
from qdts.models.lexicon import Lexicon
from qdts.models.training.data.config import CleanConfig, PrepareConfig, Source
from qdts.models.training.data.prepare import prepare
from qdts.models.training.data.weak import TrainRow
from qdts.models.training.teach import TeachConfig, build_teacher, run_teach, teach
from qdts.models.training.teachers.base import TeacherOutput, TeacherRow
from qdts.models.training.teachers.builtin import BuiltinConfig, BuiltinTeacher
from qdts.models.training.teachers.endpoint import EndpointConfig
from qdts.models.training.teachers.hf import HfConfig
from qdts.models.training.teachers.openai import OpenAiConfig
from qdts.service.commands.train import read_config

BM25 = BuiltinConfig(rankers=("bm25",))
INVENTED = "Steam was the wonder of an age that is gone."


class Quoter:
    """Says the reference if shown, else the first sentence reworded, and something it made up."""

    name = "quoter"
    settings: Mapping[str, object] = {}
    batch_size = 4

    def __init__(self, *, fails: Sequence[str] = (), dies_after: int = 10**9) -> None:
        self.asked: list[TeacherRow] = []
        self._fails = fails
        self._dies_after = dies_after

    def summarise(self, rows: Sequence[TeacherRow]) -> list[TeacherOutput]:
        if len(self.asked) >= self._dies_after:
            raise KeyboardInterrupt
        self.asked += rows
        return [self._answer(row) for row in rows]

    def _answer(self, row: TeacherRow) -> TeacherOutput:
        if row.query in self._fails:
            return TeacherOutput(fault="Unavailable: host answered with status 500")
        first = row.document.split(". ")[0].lower()
        return TeacherOutput(sentences=(row.reference or first, INVENTED), confidence=0.5, provenance={"a": "b"})


@pytest.fixture(scope="module")
def kept(rows: list[TrainRow]) -> list[TrainRow]:
    """Rows of the training side."""
    return [row for row in rows if not is_held_out(row.document)]


@pytest.fixture
def source(kept: list[TrainRow], tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [
        {
            "id": f"r{place}",
            "license": "CC0",
            "source": "prose",
            "query": row.query,
            "title": row.title,
            "doc": row.document,
            "summary": row.reference,
        }
        for place, row in enumerate(kept)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def config(source: Path, **changes: Any) -> TeachConfig:
    settings: dict[str, Any] = {
        "rows": (source,),
        "out": source.parent / "out" / "taught.jsonl",
        "builtin": BM25,
        "progress": False,
    }
    return TeachConfig(**(settings | changes))


def test_rows_keep_their_fields_and_get_the_teacher_s_summary(source: Path, kept: list[TrainRow]) -> None:
    run = config(source)
    counts = teach(run, BuiltinTeacher(BM25, None))
    taught = read(run.out)
    assert counts["taught"] == len(taught) == len(kept) > 10
    for before, after in zip(read(source), taught, strict=True):
        assert after["reference"] == before["summary"]
        assert {name: after[name] for name in before if name != "summary"} == {
            name: before[name] for name in before if name != "summary"
        }
        assert after["summary"].strip()
        assert " ".join(after["summary"].split()) in " ".join(before["doc"].split())
        assert (after["teacher"], after["set"]) == ("builtin", "rows")
        assert 0 < after["confidence"] <= 1
    assert sum(row["summary"] == " ".join(row["reference"].split()) for row in taught) > 0.5 * len(taught)
    report = json.loads((run.out.parent / "taught.jsonl.report.json").read_text())
    assert report == {"teacher": "builtin", **counts}


def test_prepare_reads_what_was_taught(
    source: Path, tokenizer_path: Path, lexicon: Lexicon, tmp_path: Path, kept: list[TrainRow]
) -> None:
    run = config(source)
    teach(run, BuiltinTeacher(BM25, None))
    shutil.copyfile(tokenizer_path, tmp_path / "tokenizer.json")
    lexicon.save(tmp_path / "lexicon.safetensors")
    clean = CleanConfig(min_document_words=10)
    sources = (Source(paths=(run.out,), max_per_document=1000, max_lead_share=1.0),)
    tally = prepare(PrepareConfig(model=tmp_path, out=tmp_path / "data", sources=sources, clean=clean))
    assert tally.written.total() > 10
    assert {(origin.licence, origin.source, origin.kind) for origin in tally.written} == {("CC0", "prose", "taught")}


def test_free_text_is_grounded_and_counted(source: Path, kept: list[TrainRow]) -> None:
    run = config(source, see_reference=False)
    counts = teach(run, Quoter())
    assert counts["sentences_dropped"] >= len(kept)
    assert counts["sentences_mapped"] + counts["sentences_verbatim"] == counts["taught"] > 0.8 * len(kept)
    for row in read(run.out):
        assert INVENTED not in row["summary"]
        assert " ".join(row["summary"].split()) in " ".join(row["doc"].split())
        assert 0 < row["confidence"] <= 0.5
        assert row["provenance"] == {"a": "b"}


@pytest.mark.parametrize("teacher", ["hf", "openai", "builtin"])
def test_only_the_builtin_teacher_may_see_the_reference(source: Path, teacher: Any) -> None:
    endpoint = EndpointConfig(url="http://host/v1")
    named = {"hf": HfConfig(model=Path("m")), "openai": OpenAiConfig(model="m", endpoint=endpoint)}
    quoter = Quoter()
    teach(config(source, teacher=teacher, **named), quoter)
    assert all(bool(row.reference) == (teacher == "builtin") for row in quoter.asked)


def test_a_run_cut_short_goes_on_where_it_was(source: Path, kept: list[TrainRow]) -> None:
    whole = Quoter()
    teach(config(source, out=source.parent / "whole.jsonl"), whole)
    run = config(source)
    first, second, third = Quoter(dies_after=8), Quoter(), Quoter()
    with pytest.raises(KeyboardInterrupt):
        teach(run, first)
    assert not run.out.exists()
    teach(run, second)
    assert len(first.asked) == 8
    assert len(first.asked) + len(second.asked) == len(whole.asked)
    teach(run, third)
    assert third.asked == []
    assert run.out.read_bytes() == (source.parent / "whole.jsonl").read_bytes()


def test_a_limit_takes_a_seeded_sample(source: Path) -> None:
    def ids(**changes: Any) -> list[str]:
        run = config(source, limit=5, **changes)
        teach(run, Quoter())
        return [row["id"] for row in read(run.out)]

    assert ids() == ids() != ids(seed=1)
    assert len(ids()) == 5
    assert sorted(ids(), key=lambda name: int(name[1:])) == ids()


BAD = [
    b"{",
    b"[]",
    b"3",
    b"\xff\xfe",
    b"[" * 9999,
    b'{"query": "q"}',
    b'{"query": "q", "doc": ""}',
    b'{"query": " ", "doc": "d"}',
    b'{"query": 3, "doc": "d"}',
    b'{"query": "q", "doc": "d", "summary": 3}',
    b'{"query": "q", "doc": "d", "title": []}',
    b'{"query": "q", "doc": "\\ud800"}',
]


def test_bad_lines_are_counted_and_cost_no_other(source: Path, kept: list[TrainRow]) -> None:
    lines = source.read_bytes().splitlines()
    source.write_bytes(b"\n".join([*BAD, b"", b" ", *lines]))
    counts = teach(config(source), Quoter())
    assert counts["bad"] == len(BAD)
    assert counts["taught"] == len(kept)


def test_rows_of_the_evaluation_side_are_left_out(source: Path, rows: list[TrainRow], kept: list[TrainRow]) -> None:
    held_out = next(f"This is document {n}." for n in range(99) if is_held_out(f"This is document {n}."))
    official = json.dumps({"query": "q", "doc": kept[0].document, "set": "qmsum", "split": "test"})
    later = json.dumps({"query": "q", "doc": kept[0].document, "history": ["a"]})
    lines = [json.dumps({"query": "q", "doc": held_out}), official, later]
    source.write_text("\n".join(lines) + "\n" + source.read_text())
    counts = teach(config(source), Quoter())
    assert (counts["held_out"], counts["later_turn"]) == (2, 1)
    assert counts["taught"] == len(kept)
    counts = teach(config(source, hold_out=False), Quoter())
    assert (counts["held_out"], counts["taught"]) == (1, len(kept) + 1)
    test_file = source.with_name("pubmedqa_pqal.jsonl")
    test_file.write_text(json.dumps({"query": "q", "doc": kept[0].document, "split": "test"}) + "\n")
    assert teach(config(test_file), Quoter())["held_out"] == 1


def test_a_row_without_a_summary_can_be_taught_and_one_taught_before_keeps_its_reference(
    source: Path, kept: list[TrainRow]
) -> None:
    row = {"query": kept[0].query, "doc": kept[0].document}
    source.write_text(json.dumps(row) + "\n" + json.dumps(row | {"summary": "by a teacher", "reference": "by hand"}))
    run = config(source)
    teach(run, BuiltinTeacher(BM25, None))
    assert [row["reference"] for row in read(run.out)] == ["", "by hand"]


def test_fields_may_have_the_names_that_prepare_reads(source: Path, kept: list[TrainRow]) -> None:
    row = kept[0]
    lines = [
        {"question": row.query, "context": row.document, "answer": row.reference},
        {"query": row.query, "document": row.document, "summary": row.reference, "answer": "short"},
        {"query": row.query, "text": row.document, "reference": row.reference, "answer": "short"},
    ]
    source.write_text("\n".join(map(json.dumps, lines)))
    quoter, run = Quoter(), config(source)
    teach(run, quoter)
    assert {(row.query, row.document, row.reference) for row in quoter.asked} == {
        (row.query, row.document, row.reference)
    }
    assert {row.answers for row in quoter.asked} == {(), ("short",)}
    assert [taught["reference"] for taught in read(run.out)] == [row.reference] * 3


def test_a_verdict_is_no_short_answer_of_the_new_set(source: Path, kept: list[TrainRow]) -> None:
    path = source.with_name("pubmedqa_pqal.jsonl")
    row = {"query": kept[0].query, "doc": kept[0].document, "summary": kept[0].reference, "answer": "yes", "kind": "k"}
    path.write_text(json.dumps(row))
    quoter, run = Quoter(), config(path)
    teach(run, quoter)
    assert quoter.asked[0].answers == ()
    [taught] = read(run.out)
    assert (taught["verdict"], taught["reference_kind"], taught["kind"]) == ("yes", "k", "taught")
    assert "answer" not in taught


def test_unsure_and_empty_answers_are_left_out(source: Path, kept: list[TrainRow]) -> None:
    assert teach(config(source, min_confidence=0.6), Quoter())["unsure"] == len(kept)

    class Silent(Quoter):
        def _answer(self, row: TeacherRow) -> TeacherOutput:
            return TeacherOutput(sentences=(INVENTED,))

    run = config(source, out=source.with_name("silent.jsonl"))
    assert teach(run, Silent())["empty"] == len(kept)
    assert read(run.out) == []


def test_failed_rows_are_counted_and_asked_again(source: Path, kept: list[TrainRow]) -> None:
    failing = [kept[1].query, kept[3].query]
    num_failing = sum(row.query in failing for row in kept)
    run = config(source)
    counts = teach(run, Quoter(fails=failing))
    assert counts["faults"] == num_failing
    assert len(read(run.out)) == len(kept) - num_failing
    again = Quoter()
    assert teach(run, again)["faults"] == 0
    assert {row.query for row in again.asked} == set(failing)


def test_a_teacher_that_always_fails_stops_the_run(source: Path, kept: list[TrainRow]) -> None:
    run = config(source, max_faults=6)
    quoter = Quoter(fails=[row.query for row in kept[4:]])
    with pytest.raises(Unavailable, match="6 rows on end could not be answered, the last: .* status 500"):
        teach(run, quoter)
    assert len(quoter.asked) < len(kept)
    assert not run.out.exists()


def test_the_stage_runs_from_toml(source: Path, kept: list[TrainRow], capsys: pytest.CaptureFixture[str]) -> None:
    toml = source.with_name("teach.toml")
    toml.write_text(
        f"""
        rows = ["{source}"]
        out = "{source.parent}/taught.jsonl"
        teacher = "builtin"
        see_reference = false
        progress = false
        [builtin]
        rankers = ["bm25"]
        [builtin.reward]
        max_words = 40
        [openai.endpoint]
        key_variable = "MY_KEY"
        """
    )
    run = read_config(toml, TeachConfig)
    assert (run.builtin.reward.max_words, run.openai.endpoint.key_variable) == (40, "MY_KEY")
    run_teach(run)
    assert f"taught {len(kept)}, empty 0" in capsys.readouterr().err


def test_teachers_are_built_as_named(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_teacher(config(source)).name == "builtin"
    endpoint = EndpointConfig(url="http://host:1/v1", key_variable="")
    openai = config(source, teacher="openai", openai=OpenAiConfig(model="m", endpoint=endpoint))
    assert build_teacher(openai).name == "openai:m@host:1"
    with pytest.raises(WeightsMissing, match="no config.json"):
        build_teacher(config(source, teacher="hf", hf=HfConfig(model=tmp_path)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ()}, "rows must name at least one file"),
        ({"out": Path("r"), "rows": (Path("r"),)}, "out must not be one of rows, is r"),
        ({"limit": -1}, "limit must be at least 0, is -1"),
        ({"max_faults": 0}, "max_faults must be at least 1, is 0"),
        ({"min_confidence": 1.5}, r"min_confidence must lie in \[0, 1\], is 1.5"),
        ({"teacher": "hf"}, "hf.model is missing"),
        ({"teacher": "openai"}, "openai.model or openai.endpoint.url is missing"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(Path("rows.jsonl"), **changes)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows: no file .*absent.jsonl"):
        teach(config(tmp_path / "absent.jsonl"), Quoter())
