"""What can be evaluated: anything that turns a row into sentences. Knows nothing of measures or reports."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from qdts.errors import ConfigError
from qdts.models.document import Document, Summary
from qdts.models.evaluation.baselines import (
    EMBEDDING_BASELINE,
    LEXICAL_BASELINES,
    Baseline,
    embedding_baseline,
    pick_sentences,
)
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.semantic import Embedder
from qdts.models.text.extractive import extract, lead

EXTRACTIVE_RUNG = "rung_extractive"
LEAD_RUNG = "rung_lead"
BASELINE_NAMES = ("lead_1", "lead_2", "bm25_1", "bm25_2", EMBEDDING_BASELINE, "oracle_1")
RUNG_NAMES = (EXTRACTIVE_RUNG, LEAD_RUNG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The sentences of a summary, and facts of its making: milliseconds, steps, coverage."""

    sentences: tuple[str, ...]
    facts: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def text(self) -> str:
        """The sentences joined by one space."""
        return " ".join(self.sentences)


class System(Protocol):
    """One column of the report."""

    @property
    def name(self) -> str: ...

    def summarise(self, row: EvalRow) -> Output: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSystem:
    """Whole sentences chosen by a score; `max_words` None leaves them uncut."""

    name: str
    baseline: Baseline
    max_words: int | None = None

    def summarise(self, row: EvalRow) -> Output:
        """The chosen sentences."""
        return Output(sentences=pick_sentences(row, self.baseline, self.max_words))


@dataclass(frozen=True, slots=True, kw_only=True)
class RungSystem:
    """A rung of the service that needs no model."""

    name: str
    answer: Callable[[EvalRow], Summary]

    def summarise(self, row: EvalRow) -> Output:
        """The rung's answer."""
        summary = self.answer(row)
        return Output(sentences=sentence_texts(summary), facts={"coverage": summary.coverage})


def document_of(row: EvalRow) -> Document:
    """The row's document as the summarizer takes it."""
    return Document(text=row.document, title=row.title)


def baseline_system(name: str, embedder: Embedder | None, max_words: int | None = None) -> System:
    """A baseline or model-free rung by name; only minilm_1 needs the embedder."""
    if name in LEXICAL_BASELINES:
        return BaselineSystem(name=name, baseline=LEXICAL_BASELINES[name], max_words=max_words)
    if name == EMBEDDING_BASELINE and embedder is not None:
        return BaselineSystem(name=name, baseline=embedding_baseline(embedder), max_words=max_words)
    raise ConfigError(f"system {name!r} is not one of {', '.join(BASELINE_NAMES + RUNG_NAMES)}")


def rung_system(name: str, max_words: int) -> System:
    """The extractive or the lead rung, at most `max_words` long."""
    if name == EXTRACTIVE_RUNG:
        return RungSystem(name=name, answer=lambda row: extract(row.query, document_of(row), max_words=max_words))
    return RungSystem(name=name, answer=lambda row: lead(document_of(row), max_words=max_words))


def sentence_texts(summary: Summary) -> tuple[str, ...]:
    """The sentences without their places."""
    return tuple(sentence.text for sentence in summary.sentences)
