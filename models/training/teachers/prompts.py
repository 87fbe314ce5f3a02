"""How a row is put to a teacher that reads instructions. Pure text; knows no tokenizer and no endpoint."""

import string
from dataclasses import dataclass

from qdts.models.text.sentences import split_sentences
from qdts.models.training.teachers.base import TeacherRow

_FIELDS = frozenset({"query", "title", "document", "max_words"})

INSTRUCTION = (
    "Answer the question with one or two sentences copied word for word from the document, at most {max_words} words."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """`text` may use {query}, {title}, {document} and {max_words}, and must use {query} and {document}."""

    text: str = (
        INSTRUCTION + " Write nothing else.\n\nTitle: {title}\n\nDocument:\n{document}\n\nQuestion: {query}\n\nAnswer:"
    )
    max_words: int = 35

    def __post_init__(self) -> None:
        if self.max_words < 1:
            raise ValueError(f"max_words must be at least 1, is {self.max_words}")
        used = _names(self.text)
        if unknown := sorted(used - _FIELDS):
            raise ValueError(f"text: {{{unknown[0]}}} is not one of {', '.join(sorted(_FIELDS))}")
        if missing := sorted({"query", "document"} - used):
            raise ValueError(f"text must use {{{missing[0]}}}")

    def fill(self, row: TeacherRow, document: str | None = None) -> str:
        """The prompt for one row; `document` where it had to be shortened."""
        told = row.document if document is None else document
        return self.text.format(query=row.query, title=row.title, document=told, max_words=self.max_words)


def _names(text: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as fault:
        raise ValueError(f"text is no template: {fault}") from fault


def written_sentences(text: str) -> tuple[str, ...]:
    """The sentences a teacher wrote, each on one line, without the quotation marks and bullets around them."""
    lines = (" ".join(span.of(text).split()) for span in split_sentences(text))
    bare = (line.strip('"“”*•- ') for line in lines)
    return tuple(line for line in bare if any(char.isalnum() for char in line))
