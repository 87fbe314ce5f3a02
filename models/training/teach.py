"""Stage `teach`: rows of JSONL in, the same rows with a teacher's summaries out, ready for `prepare`.

A row keeps all its fields (id, source, licence, ...); `summary` becomes the teacher's, what stood there goes to
`reference`, and `teacher`, `confidence` and `provenance` are added. What a teacher says freely is first mapped to
what the document says. Answers are cached, so a run that was cut short goes on where it was; `OUT.report.json` counts
what became of the rows. Knows no student.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from qdts.errors import Unavailable
from qdts.models.evaluation.rows import Fields
from qdts.models.evaluation.semantic import MiniLm
from qdts.models.summarizer import Summarizer
from qdts.models.training.teachers.base import Teacher, TeacherOutput, TeacherRow
from qdts.models.training.teachers.builtin import BuiltinConfig, BuiltinTeacher
from qdts.models.training.teachers.cache import AnswerCache, CachedTeacher
from qdts.models.training.teachers.grounding import GroundingConfig, ground
from qdts.models.training.teachers.hf import HfConfig, HfTeacher
from qdts.models.training.teachers.openai import OpenAiConfig, OpenAiTeacher
from qdts.models.training.teachers.rows import Chosen, choose_rows, taught_row, teacher_row

# Keys of the report, beside those of teachers/rows.py
TAUGHT, EMPTY, UNSURE, FAULTS = "taught", "empty", "unsure", "faults"
VERBATIM, MAPPED, DROPPED = "sentences_verbatim", "sentences_mapped", "sentences_dropped"

Counts = Counter[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachConfig:
    """`rows` are JSONL files, plain or zstd (query, doc; title, summary, answers where known; other names as in
    data/rows.py); `out` is one, too.

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
    # Leave out documents the evaluation's rule holds out (15 of 100, by hash); false for rows never evaluated on.
    hold_out: bool = True
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
    chosen = choose_rows(config.rows, limit=config.limit, seed=config.seed, hold_out=config.hold_out)
    counts: Counts = Counter({TAUGHT: 0, EMPTY: 0, UNSURE: 0, FAULTS: 0, **chosen.left_out})
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


def _taught(config: TeachConfig, teacher: CachedTeacher, chosen: Chosen, counts: Counts) -> Iterator[Fields]:
    """The rows to write."""
    rows = chosen.rows()
    num_failed = 0
    sees_reference = config.see_reference and config.teacher == "builtin"
    # disable=None shows the bar on a terminal only.
    with tqdm(total=len(chosen), desc=teacher.name, unit="row", disable=None if config.progress else True) as bar:
        while batch := list(islice(rows, teacher.batch_size)):
            asked = [teacher_row(fields, set_name, sees_reference=sees_reference) for set_name, fields in batch]
            for (set_name, fields), row, output in zip(batch, asked, teacher.summarise(asked), strict=True):
                num_failed = num_failed + 1 if output.fault else 0
                if num_failed == config.max_faults:
                    raise Unavailable(f"{num_failed} rows on end could not be answered, the last: {output.fault}")
                grounded = _grounded(output, row, config.grounding, counts)
                counts[_verdict(grounded, config)] += 1
                if _verdict(grounded, config) == TAUGHT:
                    yield taught_row(fields, set_name, grounded, teacher.name)
            bar.update(len(batch))
            bar.set_postfix_str(f"{counts[TAUGHT]} taught, {counts[FAULTS]} faults", refresh=False)


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
