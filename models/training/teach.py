"""Stage `teach`: rows of JSONL in, the same rows with a teacher's summaries out, ready for `prepare`.

A row keeps all its fields (id, source, licence, ...); `summary` becomes the teacher's, what stood there goes to
`reference`, and `teacher`, `confidence` and `provenance` are added. Rows of the evaluation side are left out here,
because their set can no longer be told from the new file's name. What a teacher says freely is first mapped to what
the document says. Answers are cached, so a run that was cut short goes on where it was; `OUT.report.json` counts
what became of the rows. Knows no student.
"""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from tqdm import tqdm

from qdts.errors import ConfigError, Unavailable
from qdts.models.evaluation.rows import Fields, open_bytes, row_from_fields
from qdts.models.evaluation.semantic import MiniLm
from qdts.models.evaluation.splits import OFFICIAL_TEST_SETS, is_held_out
from qdts.models.summarizer import Summarizer
from qdts.models.training.teachers.base import Teacher, TeacherOutput, TeacherRow
from qdts.models.training.teachers.builtin import BuiltinConfig, BuiltinTeacher
from qdts.models.training.teachers.cache import AnswerCache, CachedTeacher
from qdts.models.training.teachers.grounding import GroundingConfig, ground
from qdts.models.training.teachers.hf import HfConfig, HfTeacher
from qdts.models.training.teachers.openai import OpenAiConfig, OpenAiTeacher

# Keys of the report
TAUGHT, EMPTY, UNSURE, FAULTS, BAD, HELD_OUT = "taught", "empty", "unsure", "faults", "bad", "held_out"
VERBATIM, MAPPED, DROPPED = "sentences_verbatim", "sentences_mapped", "sentences_dropped"

Counts = Counter[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachConfig:
    """`rows` are JSONL files, plain or zstd (query, doc; title, summary, answers where known); `out` is one, too.

    The table named by `teacher` has that teacher's settings. `see_reference` shows the built-in teacher what people
    wrote: it then teaches with hindsight; the others never see it.
    """

    rows: tuple[Path, ...]
    out: Path
    teacher: Literal["builtin", "hf", "openai"] = "builtin"
    builtin: BuiltinConfig = field(default_factory=BuiltinConfig)
    hf: HfConfig = field(default_factory=HfConfig)
    openai: OpenAiConfig = field(default_factory=OpenAiConfig)
    grounding: GroundingConfig = field(default_factory=GroundingConfig)
    see_reference: bool = True
    # Answers given so far; beside `out` where not named
    cache: Path = Path()
    # A seeded sample of so many rows; 0 for all
    limit: int = 0
    seed: int = 0
    # Less sure answers are left out.
    min_confidence: float = 0.0
    # After so many rows on end that could not be answered the run stops.
    max_faults: int = 20
    progress: bool = True

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("rows must name at least one file")
        if self.out in self.rows:
            raise ValueError(f"out must not be one of rows, is {self.out}")
        if self.limit < 0:
            raise ValueError(f"limit must be at least 0, is {self.limit}")
        if self.max_faults < 1:
            raise ValueError(f"max_faults must be at least 1, is {self.max_faults}")
        if not 0.0 <= self.min_confidence <= 1.0:
            raise ValueError(f"min_confidence must lie in [0, 1], is {self.min_confidence}")
        if self.teacher == "hf" and self.hf.model == Path():
            raise ValueError("hf.model is missing")
        if self.teacher == "openai" and not (self.openai.model and self.openai.endpoint.url):
            raise ValueError("openai.model or openai.endpoint.url is missing")


def run_teach(config: TeachConfig) -> None:
    """Build the teacher, teach, say what became of the rows."""
    counts = teach(config, build_teacher(config))
    print(", ".join(f"{name} {count}" for name, count in counts.items()), file=sys.stderr)


def build_teacher(config: TeachConfig) -> Teacher:
    """The teacher the config names, loaded."""
    if config.teacher == "hf":
        return HfTeacher(config.hf)
    if config.teacher == "openai":
        return OpenAiTeacher(config.openai)
    embedder = MiniLm() if "minilm" in config.builtin.rankers else None
    model = config.builtin.model
    return BuiltinTeacher(config.builtin, embedder, None if model == Path() else Summarizer.load(model))


def teach(config: TeachConfig, teacher: Teacher) -> Counts:
    """Write `out` and its report; returns the counts. `out` appears when it is complete.

    Raises Unavailable when the teacher fails row after row; what it has answered is kept.
    """
    counts: Counts = Counter({name: 0 for name in (TAUGHT, EMPTY, UNSURE, FAULTS, BAD, HELD_OUT)})
    chosen = _choose(config, counts)
    unfinished = config.out.with_name(config.out.name + ".part")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    cache = config.out.with_name(config.out.name + ".cache") if config.cache == Path() else config.cache
    with AnswerCache(cache) as answers, unfinished.open("w", encoding="utf-8") as out:
        asked = CachedTeacher(teacher, answers)
        for fields in _taught(config, asked, chosen, counts):
            out.write(json.dumps(fields, ensure_ascii=False) + "\n")
    os.replace(unfinished, config.out)
    report = config.out.with_name(config.out.name + ".report.json")
    report.write_text(json.dumps({"teacher": teacher.name, **counts}, indent=1) + "\n", encoding="utf-8")
    return counts


def _choose(config: TeachConfig, counts: Counts) -> list[tuple[Path, list[int]]]:
    """By file, the numbers of the lines to teach on, in order; counts those that are bad or held out."""
    usable: list[tuple[int, int]] = []
    for which, path in enumerate(config.rows):
        for number, line in _lines(path):
            fault = _fault(parse_row(line), path)
            if fault:
                counts[fault] += 1
            else:
                usable.append((which, number))
    if config.limit and config.limit < len(usable):
        usable = sorted(random.Random(config.seed).sample(usable, config.limit))
    return [(path, [n for which, n in usable if which == place]) for place, path in enumerate(config.rows)]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers."""
    if not path.is_file():
        raise ConfigError(f"rows: no file {path}")
    with open_bytes(path) as lines:
        for number, line in enumerate(lines):
            if line.strip():
                yield number, line


def parse_row(line: bytes) -> Fields | None:
    """The fields of a row that can be taught on: a query and a document that are not blank; None for any other."""
    try:
        # Lone surrogates, which JSON can spell, cannot be written.
        fields = json.loads(line.decode("utf-8-sig"))
        json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    row = cast(Fields, fields)
    texts = [row.get("query"), row.get("doc")]
    told = [row.get("title"), row.get("summary"), row.get("reference")]
    has_texts = all(isinstance(text, str) and text.strip() for text in texts)
    return row if has_texts and all(text is None or isinstance(text, str) for text in told) else None


def _fault(fields: Fields | None, path: Path) -> str:
    """Why a row is left out: BAD, HELD_OUT, "" for no reason."""
    if fields is None:
        return BAD
    set_name = str(fields.get("set") or path.name.split(".")[0])
    is_test = set_name in OFFICIAL_TEST_SETS and fields.get("split") == "test"
    return HELD_OUT if is_test or is_held_out(str(fields["doc"])) else ""


def _taught(
    config: TeachConfig, teacher: CachedTeacher, chosen: Sequence[tuple[Path, list[int]]], counts: Counts
) -> Iterator[Fields]:
    """The rows to write."""
    rows = _chosen_rows(chosen)
    num_failed = 0
    total = sum(len(numbers) for _, numbers in chosen)
    # disable=None shows the bar on a terminal only.
    with tqdm(total=total, desc=teacher.name, unit="row", disable=None if config.progress else True) as bar:
        while batch := list(islice(rows, teacher.batch_size)):
            asked = [_teacher_row(config, fields, path) for path, fields in batch]
            for (_, fields), row, output in zip(batch, asked, teacher.summarise(asked), strict=True):
                num_failed = num_failed + 1 if output.fault else 0
                if num_failed == config.max_faults:
                    raise Unavailable(f"{num_failed} rows on end could not be answered, the last: {output.fault}")
                grounded = _grounded(output, row, config.grounding, counts)
                counts[_verdict(grounded, config)] += 1
                if _verdict(grounded, config) == TAUGHT:
                    yield _written(fields, grounded, teacher.name)
            bar.update(len(batch))
            bar.set_postfix_str(f"{counts[TAUGHT]} taught, {counts[FAULTS]} faults", refresh=False)


def _chosen_rows(chosen: Sequence[tuple[Path, list[int]]]) -> Iterator[tuple[Path, Fields]]:
    for path, numbers in chosen:
        wanted = frozenset(numbers)
        for number, line in _lines(path):
            if number in wanted:
                fields = parse_row(line)
                assert fields is not None, "it could be parsed before"
                yield path, fields


def _teacher_row(config: TeachConfig, fields: Mapping[str, Any], path: Path) -> TeacherRow:
    reference = _reference(fields)
    row = row_from_fields({**fields, "summary": reference}, path.name.split(".")[0])
    sees = config.see_reference and config.teacher == "builtin"
    return TeacherRow(
        query=row.query,
        title=row.title,
        document=row.document,
        reference=reference if sees else "",
        answers=row.answers if sees else (),
    )


def _reference(fields: Mapping[str, Any]) -> str:
    """What people wrote: a row that was taught before has it there."""
    return str(fields.get("reference") or fields.get("summary") or "")


def _grounded(output: TeacherOutput, row: TeacherRow, config: GroundingConfig, counts: Counts) -> TeacherOutput:
    found = ground(output.sentences, row.document, config)
    counts.update({VERBATIM: found.num_verbatim, MAPPED: found.num_mapped, DROPPED: found.num_dropped})
    confidence = output.confidence * found.support
    return TeacherOutput(
        sentences=found.sentences, confidence=confidence, provenance=output.provenance, fault=output.fault
    )


def _verdict(output: TeacherOutput, config: TeachConfig) -> str:
    if output.fault:
        return FAULTS
    if not output.sentences:
        return EMPTY
    return TAUGHT if output.confidence >= config.min_confidence else UNSURE


def _written(fields: Fields, output: TeacherOutput, teacher: str) -> Fields:
    return fields | {
        "summary": output.text,
        "reference": _reference(fields),
        "teacher": teacher,
        "confidence": round(output.confidence, 4),
        "provenance": dict(output.provenance),
    }
