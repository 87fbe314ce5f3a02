"""The nouns that pass between the layers: a document, a span of it, a summary of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open range [start, end) of Unicode code points in a text."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"span [{self.start}, {self.end}) is not ordered")

    def __len__(self) -> int:
        return self.end - self.start

    def of(self, text: str) -> str:
        """The piece of `text` this span covers."""
        return text[self.start : self.end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is summarised. `language` is a BCP-47 tag, "" when unknown."""

    text: str
    title: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarySentence:
    """One sentence of a summary; `source` is where the document says it, None if nowhere verbatim."""

    text: str
    source: Span | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A finished summary. `coverage` is the share of the document's code points that was read."""

    sentences: tuple[SummarySentence, ...]
    coverage: float
    num_input_tokens: int = 0
    num_output_tokens: int = 0
    num_steps: int = 0

    @property
    def text(self) -> str:
        """The sentences joined by one space."""
        return " ".join(sentence.text for sentence in self.sentences)
