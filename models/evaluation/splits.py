"""Which rows are for evaluation only. The ids are frozen in splits/eval_v1.json; the rule made them once.

The rule, per set: rows whose document's hash falls in the lowest 15 of 100 buckets (so all rows of a
document are on one side), or the set's official test split; never a document that was cut to fit its
reference (`doc_selected`), never a later turn of a dialogue, whose first question is not what the
reference answers. Equal (query, document) pairs count once. A set keeps at most 300 rows.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from qdts.errors import ConfigError
from qdts.models.evaluation.rows import EvalRow, Fields, read_fields, row_from_fields, set_path

EVAL_V1 = Path(__file__).parent / "splits" / "eval_v1.json"

HASHED_SETS = (
    "squad_dev",
    "nq_oracle_litm",
    "qed_nq_dev",
    "selqa_dev_test",
    "doc2dial_val",
    "conditionalqa_evidence",
    "docs_gsa_digitalgov",
)
OFFICIAL_TEST_SETS = ("pubmedqa_pqal", "qmsum")
EVALUATION_SETS = HASHED_SETS + OFFICIAL_TEST_SETS
HELD_OUT_PERCENT = 15
MAX_ROWS_PER_SET = 300
QUICK_ROWS_PER_SET = 25


def normalise(text: str) -> str:
    """NFKC, lower case, runs of whitespace as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def is_held_out(document: str) -> bool:
    """Does the rule put this document (and so every row on it) on the evaluation side?"""
    digest = hashlib.sha256(normalise(document).encode()).hexdigest()
    return int(digest[:8], 16) % 100 < HELD_OUT_PERCENT


def evaluation_ids(*, quick: bool = False, path: Path = EVAL_V1) -> dict[str, frozenset[str]]:
    """The frozen ids per set; `quick` keeps the first 25 of each. Refuses a file that was changed."""
    ids = _load_frozen(path)
    if quick:
        ids = {name: _first_by_hash(name, rows, QUICK_ROWS_PER_SET) for name, rows in ids.items()}
    return {name: frozenset(rows) for name, rows in ids.items()}


def limit_ids(ids: Mapping[str, Iterable[str]], rows_per_set: int) -> dict[str, frozenset[str]]:
    """At most `rows_per_set` ids of each set: a fixed sample, the same on every machine."""
    return {name: frozenset(_first_by_hash(name, rows, rows_per_set)) for name, rows in ids.items()}


def load_rows(data_dir: Path, ids: Mapping[str, Iterable[str]]) -> list[EvalRow]:
    """The rows with these ids, by set and id. Refuses a data directory where one is missing."""
    rows: list[EvalRow] = []
    for set_name in sorted(ids):
        wanted = frozenset(ids[set_name])
        found = {
            str(fields["id"]): row_from_fields(fields, set_name)
            for fields in read_fields(set_path(data_dir, set_name))
            if fields["id"] in wanted
        }
        if missing := wanted - found.keys():
            raise ConfigError(f"{set_name}: {len(missing)} evaluation rows missing, such as {min(missing)!r}")
        rows += [found[row_id] for row_id in sorted(found)]
    return rows


def freeze_splits(data_dir: Path, path: Path) -> dict[str, list[str]]:
    """Apply the rule to the data and write the ids with their SHA-256. Done once per version."""
    seen: set[tuple[str, str]] = set()
    sets: dict[str, list[str]] = {}
    for name in EVALUATION_SETS:
        eligible = [row for row in read_fields(set_path(data_dir, name)) if _is_eligible(name, row)]
        distinct = _without_repeats(eligible, seen)
        sets[name] = sorted(_first_by_hash(name, distinct, MAX_ROWS_PER_SET))
    counts = {name: len(ids) for name, ids in sets.items()}
    frozen = {"version": "eval_v1", "sha256": _digest(sets), "counts": counts, "sets": sets}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(frozen, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return sets


def _is_eligible(set_name: str, row: Fields) -> bool:
    if row.get("doc_selected") or row.get("history"):
        return False
    if set_name in OFFICIAL_TEST_SETS:
        return row.get("split") == "test"
    return is_held_out(str(row["doc"]))


def _without_repeats(rows: Iterable[Fields], seen: set[tuple[str, str]]) -> list[str]:
    ids: list[str] = []
    for row in rows:
        pair = (normalise(str(row["query"])), normalise(str(row["doc"])))
        if pair not in seen:
            seen.add(pair)
            ids.append(str(row["id"]))
    return ids


def _first_by_hash(set_name: str, ids: Iterable[str], limit: int) -> list[str]:
    return sorted(ids, key=lambda row_id: hashlib.sha256(f"{set_name}\n{row_id}".encode()).digest())[:limit]


def _load_frozen(path: Path) -> dict[str, list[str]]:
    frozen = json.loads(path.read_text(encoding="utf-8"))
    sets = cast(dict[str, list[str]], frozen["sets"])
    if _digest(sets) != frozen["sha256"]:
        raise ConfigError(f"{path.name}: the ids differ from the SHA-256 written when they were frozen")
    return sets


def _digest(sets: Mapping[str, list[str]]) -> str:
    canonical = json.dumps(sets, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
