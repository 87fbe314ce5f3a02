"""What a data set is prepared from. Parsing belongs to the edge; nothing here touches a file but to list names."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from qdts.models.prompt import PromptConfig
from qdts.models.training.config import check_at_least, check_shares

_ROW_SUFFIXES = (".jsonl", ".jsonl.zst")
_PROSE_SUFFIXES = (".txt", ".txt.zst")
# More examples than anybody has.
NO_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Files of one origin: rows (.jsonl) or raw prose (.txt), both also with .zst; names may hold * and ?.

    `name`, `licence` and `kind` stand in where a row states none; prose states none, so a licence must be named.
    """

    paths: tuple[Path, ...]
    # The share of rows, or of prose documents, that is read: chosen by hash, so a smaller share is a part of a larger.
    share: float = 1.0
    name: str = ""
    licence: str = ""
    kind: str = ""
    # One document, its near-duplicates included, gives at most this many rows.
    max_per_document: int = 12
    # At most this share of rows may be answered by their document's first sentence.
    max_lead_share: float = 0.25
    # Leave out documents the evaluation's rule holds out (15 of 100, by hash), so that a split to evaluate on stays.
    hold_out: bool = True

    def __post_init__(self) -> None:
        check_shares(self, ("share", "max_lead_share"))
        check_at_least(self, 1, ("max_per_document",))
        if not self.paths:
            raise ValueError("paths must name at least one file")
        for path in self.paths:
            if not path.name.endswith(_ROW_SUFFIXES + _PROSE_SUFFIXES):
                raise ValueError(f"paths: {path.name} must end in one of {', '.join(_ROW_SUFFIXES + _PROSE_SUFFIXES)}")
            if is_prose(path) and not self.licence:
                raise ValueError(f"licence must be named for {path.name}: prose does not state its own")

    def files(self) -> list[Path]:
        """The files there are, in order; ValueError names a path or pattern that has none."""
        found: list[Path] = []
        for path in self.paths:
            matches = sorted(path.parent.glob(path.name))
            if not matches:
                raise ValueError(f"paths: no file {path}")
            found += matches
        return found


def is_prose(path: Path) -> bool:
    """Raw prose, by its name?"""
    return path.name.endswith(_PROSE_SUFFIXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakConfig:
    """Rows made from raw prose. The first five are the kinds' shares of them, in any unit."""

    heading: float = 0.30
    lead: float = 0.10
    definition: float = 0.15
    keywords: float = 0.15
    cloze: float = 0.30
    # A page gives one row for each so many of its words, up to the bound.
    words_per_row: int = 200
    max_per_page: int = 6
    # Words of the window that becomes the document.
    min_words: int = 150
    max_words: int = 480
    lower_share: float = 0.5
    typo_share: float = 0.03

    def __post_init__(self) -> None:
        check_shares(self, ("lower_share", "typo_share"))
        check_at_least(self, 1, ("words_per_row", "max_per_page", "min_words"))
        shares = self.shares()
        if min(shares.values()) < 0 or not any(shares.values()):
            raise ValueError(f"shares of kinds must not be negative, nor all 0: {shares}")
        if self.max_words < self.min_words:
            raise ValueError(f"max_words must be at least min_words ({self.min_words}), is {self.max_words}")

    def shares(self) -> dict[str, float]:
        """Each kind's share, scaled so that they sum to 1."""
        raw = {name: getattr(self, name) for name in ("heading", "lead", "definition", "keywords", "cloze")}
        total = sum(raw.values()) or 1.0
        return {name: share / total for name, share in raw.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanConfig:
    """Bounds in words, and how much of a document may be lines that stood before."""

    max_query_words: int = 64
    min_document_words: int = 12
    max_document_words: int = 20_000
    min_reference_words: int = 3
    max_reference_words: int = 120
    max_repeated_share: float = 0.5

    def __post_init__(self) -> None:
        check_shares(self, ("max_repeated_share",))
        check_at_least(self, 1, [f.name for f in fields(self) if f.type is int])
        for noun in ("document", "reference"):
            least, most = getattr(self, f"min_{noun}_words"), getattr(self, f"max_{noun}_words")
            if most < least:
                raise ValueError(f"max_{noun}_words must be at least min_{noun}_words ({least}), is {most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateConfig:
    """When two documents count as one, and how often a question or a reference may come back."""

    # Estimated Jaccard similarity of their runs of five words.
    similarity: float = 0.8
    # Documents remembered, at 320 bytes each; beyond it the oldest are forgotten.
    capacity: int = 262_144
    max_per_question: int = 20
    max_per_reference: int = 5

    def __post_init__(self) -> None:
        check_shares(self, ("similarity",))
        check_at_least(self, 1, ("capacity", "max_per_question", "max_per_reference"))


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantConfig:
    """Rows derived from rows."""

    # For each row, so many more with a document that does not answer it.
    negative_share: float = 0.15
    # The share of rows whose document gets passages of other documents around it, up to `max_joined_words`.
    joined_share: float = 0.25
    max_joined_words: int = 1_500

    def __post_init__(self) -> None:
        check_shares(self, ("negative_share", "joined_share"))
        check_at_least(self, 1, ("max_joined_words",))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareConfig:
    """One data set. `evaluation` is the directory the evaluation rows come from; None where there is nothing to keep
    out. The result is the same for any `num_workers`."""

    model: Path  # tokenizer.json and lexicon.safetensors
    out: Path
    sources: tuple[Source, ...]
    evaluation: Path | None = None
    max_examples: int = NO_LIMIT
    # Clean, compare and count, and write no examples: what the sources would give, in a tenth of the time.
    dry_run: bool = False
    # A file with a larger share of rows that cannot be read is refused.
    max_bad_share: float = 0.01
    weak: WeakConfig = field(default_factory=WeakConfig)
    clean: CleanConfig = field(default_factory=CleanConfig)
    duplicates: DuplicateConfig = field(default_factory=DuplicateConfig)
    variants: VariantConfig = field(default_factory=VariantConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    num_workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources must name at least one source")
        check_shares(self, ("max_bad_share",))
        check_at_least(self, 1, ("max_examples", "num_workers"))
