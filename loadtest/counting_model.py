"""A model for tests of everything around models: the document's first sentence, word by word, and counts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.models.runtimes.base import RuntimeInfo
from qdts.models.text.sentences import split_sentences


@dataclass(frozen=True, slots=True)
class _Prompt:
    sentence: SummarySentence


@dataclass
class CountingModel:
    """Reads a batch in `read_s`, writes a word in each step of `step_s`."""

    version: str = "counting@1"
    read_s: float = 0.002
    step_s: float = 0.0
    info: RuntimeInfo = RuntimeInfo(name="counting", precision="fp32", device="cpu", num_threads=1)
    num_calls: int = 0  # documents read

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> _Prompt:
        """The document's first sentence."""
        del query, max_words, passages_only
        span = split_sentences(document.text, document.language)[0]
        return _Prompt(SummarySentence(text=span.of(document.text), source=Span(span.start, span.end)))

    def num_unread(self, prompt: _Prompt) -> int:
        """Its words."""
        return len(prompt.sentence.text.split())

    def start(self, prompts: Sequence[_Prompt]) -> "_Writing":
        """Read them."""
        writing = _Writing(self)
        writing.join(prompts)
        return writing


@dataclass
class _Writing:
    model: CountingModel
    prompts: list[_Prompt] = field(default_factory=list)
    left: dict[int, int] = field(default_factory=dict)

    @property
    def active(self) -> tuple[int, ...]:
        return tuple(index for index, left in self.left.items() if left)

    def join(self, prompts: Sequence[_Prompt]) -> list[int]:
        time.sleep(self.model.read_s)
        self.model.num_calls += len(prompts)
        first = len(self.prompts)
        self.prompts += prompts
        indices = [*range(first, len(self.prompts))]
        self.left |= {index: self.model.num_unread(self.prompts[index]) for index in indices}
        return indices

    def step(self) -> None:
        time.sleep(self.model.step_s)
        for index in self.active:
            self.left[index] -= 1

    def release(self, index: int) -> None:
        del self.left[index]

    def text(self, index: int) -> str:
        words = self.prompts[index].sentence.text.split()
        return " ".join(words[: len(words) - self.left[index]])

    def summary(self, index: int) -> Summary:
        num_words = self.model.num_unread(self.prompts[index])
        return Summary(
            sentences=(self.prompts[index].sentence,), coverage=1.0, num_output_tokens=num_words, num_steps=num_words
        )

    def encode_ms(self, index: int) -> float:
        return 1000 * self.model.read_s

    def decode_ms(self, index: int) -> float:
        return 1000 * self.model.step_s * self.model.num_unread(self.prompts[index])
