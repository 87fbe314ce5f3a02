"""From rows and raw prose to a data set of examples, with everything that touches the evaluation set left out."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from qdts.models.document import Document
from qdts.models.evaluation.contamination import Contamination
from qdts.models.evaluation.rows import Fields, read_fields, without_title_line
from qdts.models.evaluation.splits import OFFICIAL_TEST_SETS, is_held_out, normalise
from qdts.models.prompt import PromptBuilder
from qdts.models.training.corpus import sample_documents
from qdts.models.training.dataset import write_examples
from qdts.models.training.examples import Example, make_example
from qdts.models.training.weak import TrainRow, weak_rows

# A reference this short may stand in the document by chance.
_MIN_REFERENCE_WORDS = 3
_MAX_CORPUS_CHARS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareConfig:
    """`rows` are JSONL files (query, doc, summary; title where known), each read up to its share; `corpus` raw prose.

    `evaluation` is the directory the evaluation rows come from; None where there is nothing to keep out.
    """

    model: Path  # tokenizer.json and lexicon.safetensors
    out: Path
    rows: tuple[Path, ...] = ()
    row_shares: tuple[float, ...] = ()
    corpus: tuple[Path, ...] = ()
    corpus_share: float = 0.5
    rows_per_document: int = 3
    max_examples: int = 1_000_000
    evaluation: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.row_shares and len(self.row_shares) != len(self.rows):
            raise ValueError(f"row_shares: {len(self.row_shares)} numbers for {len(self.rows)} files of rows")
        if not self.rows and not self.corpus:
            raise ValueError("name at least one file in rows or corpus")
        if self.max_examples < 1:
            raise ValueError(f"max_examples must be at least 1, is {self.max_examples}")


def prepare(config: PrepareConfig, builder: PromptBuilder) -> int:
    """Write the data set to `config.out`; returns how many examples it holds."""
    contamination = Contamination.load(config.evaluation) if config.evaluation else Contamination([])
    rows = human_rows(config) if config.rows else corpus_rows(config)
    clean = (row for row in rows if not contamination.is_contaminated(row.query, row.document))
    return write_examples(_examples(builder, clean, config.max_examples), config.out)


def _examples(builder: PromptBuilder, rows: Iterator[TrainRow], limit: int) -> Iterator[Example]:
    with tqdm(total=limit, unit="example") as progress:
        for row in rows:
            example = make_example(builder, row.query, Document(text=row.document, title=row.title), row.reference)
            if example is not None:
                yield example
                progress.update()
            if progress.n >= limit:
                return


def human_rows(config: PrepareConfig) -> Iterator[TrainRow]:
    """Rows of JSONL files, shuffled within each file, each question on a document once."""
    rng = random.Random(config.seed)
    seen: set[tuple[str, str]] = set()
    for path, share in zip(config.rows, config.row_shares or [1.0] * len(config.rows), strict=True):
        usable = [row for row in read_fields(path) if _is_for_training(row, path)]
        rng.shuffle(usable)
        for row in usable[: int(share * len(usable))]:
            key = (normalise(str(row["query"])), normalise(str(row["doc"])))
            if key not in seen:
                seen.add(key)
                yield _row(row)


def _is_for_training(row: Fields, path: Path) -> bool:
    """Not held out, not a later turn of a dialogue, and the reference is more than a word found by chance."""
    document, reference = str(row["doc"]), str(row["summary"])
    if is_held_out(document) or row.get("history"):
        return False
    if path.name.split(".")[0] in OFFICIAL_TEST_SETS and row.get("split") == "test":
        return False
    words = len(reference.split())
    return words >= 8 or (words >= _MIN_REFERENCE_WORDS and document.count(reference) == 1)


def _row(row: Fields) -> TrainRow:
    return TrainRow(
        query=str(row["query"]),
        title=str(row.get("title") or ""),
        document=without_title_line(str(row["doc"]), str(row.get("title") or "")),
        reference=str(row["summary"]),
    )


def corpus_rows(config: PrepareConfig) -> Iterator[TrainRow]:
    """Made-up questions over raw prose."""
    rng = random.Random(config.seed)
    for document in sample_documents(config.corpus, config.corpus_share, config.seed):
        yield from weak_rows(document[:_MAX_CORPUS_CHARS], rng, per_document=config.rows_per_document)
