"""The small evaluation set that ships with the project: drawn from the frozen split, open licences only."""

import json
from dataclasses import dataclass
from pathlib import Path

from qdts.errors import ConfigError
from qdts.models.evaluation.rows import EvalRow, Fields, read_fields, row_from_fields, set_path
from qdts.models.evaluation.splits import evaluation_ids, limit_ids

SAMPLE_V1 = Path(__file__).parent / "samples" / "sample_v1.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """How many rows of a set are shipped, under which licence, and whom to name."""

    num_rows: int
    licence: str
    source: str


SAMPLE_SETS = {
    "squad_dev": SampleSet(
        num_rows=34, licence="CC BY-SA 4.0", source="SQuAD 1.1 development set; Wikipedia article: {title}"
    ),
    "nq_oracle_litm": SampleSet(
        num_rows=26,
        licence="CC BY-SA 3.0",
        source="Natural Questions, by way of the Lost in the Middle data; Wikipedia article: {title}",
    ),
    "qed_nq_dev": SampleSet(
        num_rows=12, licence="CC BY-SA 3.0", source="QED, Natural Questions; Wikipedia article: {title}"
    ),
    "selqa_dev_test": SampleSet(
        num_rows=24, licence="Apache-2.0; text CC BY-SA 3.0", source="SelQA; Wikipedia article: {title}"
    ),
    "doc2dial_val": SampleSet(num_rows=12, licence="CC BY 3.0", source="doc2dial 1.0.1; page: {title}"),
    "docs_gsa_digitalgov": SampleSet(
        num_rows=14, licence="CC0 1.0 / US public domain", source="Digital.gov (GSA): {id}"
    ),
}


def load_row_file(path: Path = SAMPLE_V1) -> list[EvalRow]:
    """The rows of a JSONL file like the shipped sample; query, doc and summary are required."""
    if not path.is_file():
        raise ConfigError(f"evaluation data: no file {path}")
    name = path.name.removesuffix(".zst").removesuffix(".jsonl")
    rows = [row_from_fields(fields, str(fields.get("set") or name)) for fields in read_fields(path)]
    if not rows:
        raise ConfigError(f"evaluation data: {path} holds no row")
    return rows


def build_sample(data_dir: Path, path: Path = SAMPLE_V1) -> int:
    """Write the sample from the full data; the number of rows."""
    ids = evaluation_ids()
    lines = [
        json.dumps(sample_fields, ensure_ascii=False)
        for name, sample_set in SAMPLE_SETS.items()
        for sample_fields in _sampled(data_dir, name, sample_set, ids[name])
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def _sampled(data_dir: Path, name: str, sample_set: SampleSet, ids: frozenset[str]) -> list[Fields]:
    wanted = limit_ids({name: ids}, sample_set.num_rows)[name]
    found = (fields for fields in read_fields(set_path(data_dir, name)) if fields["id"] in wanted)
    return [_sample_fields(fields, name, sample_set) for fields in found]


def _sample_fields(fields: Fields, name: str, sample_set: SampleSet) -> Fields:
    row = row_from_fields(fields, name)
    return {
        "id": row.id,
        "set": name,
        "licence": sample_set.licence,
        "source": sample_set.source.format(title=row.title, id=row.id),
        "query": row.query,
        "title": row.title,
        "doc": row.document,
        "summary": row.references[0],
        "answers": list(row.answers),
    }
