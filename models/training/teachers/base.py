"""What a teacher is asked and what it answers. Knows no teacher in particular."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qdts.models.training.reward import Rewarded


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRow:
    """A question about a document. `reference` "" and `answers` () where none is known, or none is to be seen."""

    query: str
    document: str
    title: str = ""
    reference: str = ""
    answers: tuple[str, ...] = ()

    def rewarded(self) -> Rewarded:
        """The row as the reward takes it."""
        return Rewarded(
            query=self.query,
            title=self.title,
            document=self.document,
            reference=self.reference,
            answers=self.answers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOutput:
    """One answer: sentences (none where the teacher has nothing to say), how sure of them it is, in [0, 1], and
    where they come from (the candidate that won, why the text ended).

    `fault` is what kept the teacher from answering this row, "" where nothing did. It names no text of the row.
    """

    sentences: tuple[str, ...] = ()
    confidence: float = 0.0
    provenance: Mapping[str, str] = field(default_factory=dict[str, str])
    fault: str = ""

    @property
    def text(self) -> str:
        """The sentences joined by one space."""
        return " ".join(self.sentences)


class Teacher(Protocol):
    """Blocking; one thread owns it."""

    @property
    def name(self) -> str:
        """Who answers, such as "hf:t5-small": written beside each summary."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """All that changes an answer, ready for JSON: part of the cache's key. No secrets, and nothing that only
        changes how fast the answer comes.
        """
        ...

    @property
    def batch_size(self) -> int:
        """How many rows are best asked together."""
        ...

    def summarise(self, rows: Sequence[TeacherRow]) -> list[TeacherOutput]:
        """One output per row, in order. Raises where no row can be answered: ConfigError, Unsupported."""
        ...
