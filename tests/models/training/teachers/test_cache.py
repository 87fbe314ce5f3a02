"""What was answered is not asked again, whatever happened to the run or to its file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qdts.models.training.teachers.base import TeacherOutput, TeacherRow
from qdts.models.training.teachers.cache import AnswerCache, CachedTeacher, row_key

ROWS = [TeacherRow(query=f"Which is {n}?", document=f"This is {n}.") for n in range(6)]


class Echo:
    """Answers with the document; counts what it is asked."""

    batch_size = 4

    def __init__(self, name: str = "echo", settings: Mapping[str, object] | None = None) -> None:
        self.name = name
        self.settings: Mapping[str, object] = settings or {}
        self.asked: list[str] = []
        self.fails: set[str] = set()

    def summarise(self, rows: Sequence[TeacherRow]) -> list[TeacherOutput]:
        self.asked += [row.query for row in rows]
        return [
            TeacherOutput(fault="Unavailable: no")
            if row.query in self.fails
            else TeacherOutput(sentences=(row.document, "Zwölf – 十二\n"), confidence=0.25, provenance={"by": "echo"})
            for row in rows
        ]


def ask(path: Path, rows: Sequence[TeacherRow], teacher: Echo) -> list[TeacherOutput]:
    with AnswerCache(path) as cache:
        return CachedTeacher(teacher, cache).summarise(rows)


def test_a_second_run_asks_nothing_and_answers_the_same(tmp_path: Path) -> None:
    first, second = Echo(), Echo()
    answers = ask(tmp_path / "deep" / "cache", ROWS, first)
    assert len(first.asked) == len(ROWS)
    assert ask(tmp_path / "deep" / "cache", ROWS, second) == answers == Echo().summarise(ROWS)
    assert second.asked == []


def test_a_row_that_comes_twice_is_asked_once(tmp_path: Path) -> None:
    teacher = Echo()
    answers = ask(tmp_path / "cache", [*ROWS[:2], ROWS[0]], teacher)
    assert answers[0] == answers[2] != answers[1]
    assert len(teacher.asked) == 2


@pytest.mark.parametrize("num_lost", [1, 5, 60])
def test_a_line_cut_short_is_asked_again_and_the_file_stays_whole(tmp_path: Path, num_lost: int) -> None:
    path = tmp_path / "cache"
    answers = ask(path, ROWS, Echo())
    data = path.read_bytes()
    path.write_bytes(data[:-num_lost])
    with AnswerCache(path) as cache:
        assert (len(cache), cache.num_spoilt) == (len(ROWS) - 1, 1)
    teacher = Echo()
    assert ask(path, ROWS, teacher) == answers
    assert teacher.asked == [ROWS[-1].query]
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "spoilt", [b"", b"{", b"[]", b'{"key": 1}', b"\xff\x00", b"null", b"[" * 9999, b'{"key": "k", "sentences": 3}']
)
def test_a_spoilt_line_costs_no_other(tmp_path: Path, spoilt: bytes) -> None:
    path = tmp_path / "cache"
    answers = ask(path, ROWS, Echo())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], spoilt + b"\n", *lines[3:]]))
    teacher = Echo()
    assert ask(path, ROWS, teacher) == answers
    assert teacher.asked == [ROWS[2].query]
    assert ask(path, ROWS, Echo()) == answers


def test_failures_are_asked_again(tmp_path: Path) -> None:
    teacher = Echo()
    teacher.fails = {ROWS[1].query}
    assert [bool(answer.fault) for answer in ask(tmp_path / "cache", ROWS[:3], teacher)] == [False, True, False]
    teacher.fails = set()
    teacher.asked = []
    assert all(not answer.fault for answer in ask(tmp_path / "cache", ROWS[:3], teacher))
    assert teacher.asked == [ROWS[1].query]


def test_the_key_holds_all_that_changes_an_answer() -> None:
    row, teacher = ROWS[0], Echo(settings={"b": 1, "a": (2,)})
    rows = [
        row,
        replace(row, query="Which?"),
        replace(row, document="This."),
        replace(row, title="t"),
        replace(row, reference="r"),
        replace(row, answers=("a",)),
        replace(row, answers=("a", "b")),
    ]
    keys = {row_key(teacher, each) for each in rows}
    keys |= {row_key(Echo("other", teacher.settings), row), row_key(Echo(settings={"b": 2, "a": (2,)}), row)}
    assert len(keys) == 9
    assert row_key(Echo(settings={"a": [2], "b": 1}), replace(row)) == row_key(teacher, row)
    assert all(len(key) == 64 for key in keys)
