"""A summariser without a model: it takes the time its cost model says and writes the document's first sentence."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qdts.loadtest.simulation.costs import CostModel
from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.models.runtimes.base import RuntimeInfo
from qdts.models.text.sentences import split_sentences

# Only so much of a document is split: the text of a summary is not what is simulated.
READ_CHARS = 2_000

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedPrompt:
    """What will be written, and how many tokens are to be read for it."""

    sentence: SummarySentence
    num_tokens: int
    coverage: float


@dataclass(slots=True, kw_only=True)
class _Written:
    prompt: SimulatedPrompt
    encode_ms: float
    decode_ms: float = 0.0
    num_steps: int = 0


class SimulatedSummarizer:
    """`sleep` is given seconds; a test may count them instead of waiting."""

    version = "simulated@1"
    info = RuntimeInfo(name="simulated", precision="none", device="none", num_threads=1)

    def __init__(self, costs: CostModel, sleep: Sleep = time.sleep) -> None:
        self.costs = costs
        self.sleep = sleep

    def prepare(
        self, query: str, document: Document, *, max_words: int, passages_only: bool = False
    ) -> SimulatedPrompt:
        """The document's first sentence, at most `max_words` words of it."""
        num_tokens = self.costs.num_tokens(len(query) + len(document.text), passages_only=passages_only)
        span = split_sentences(document.text[:READ_CHARS], document.language)[0]
        words = span.of(document.text).split()
        text = " ".join(words[:max_words])
        all_tokens = self.costs.num_tokens(len(query) + len(document.text))
        return SimulatedPrompt(
            sentence=SummarySentence(text=text, source=Span(span.start, span.end)),
            num_tokens=num_tokens,
            coverage=num_tokens / all_tokens,
        )

    def num_unread(self, prompt: SimulatedPrompt) -> int:
        """All its tokens: no states are kept."""
        return prompt.num_tokens

    def step_ms(self, batch: int) -> float:
        """What a step of so many summaries takes: a real model has it measured."""
        return self.costs.stepping_ms(batch)

    def start(self, prompts: Sequence[SimulatedPrompt]) -> "SimulatedGeneration":
        """Take the time of reading the prompts."""
        generation = SimulatedGeneration(self)
        generation.join(prompts)
        return generation


class SimulatedGeneration:
    """Summaries of `num_steps` steps each."""

    def __init__(self, summarizer: SimulatedSummarizer) -> None:
        self._summarizer = summarizer
        self._costs = summarizer.costs
        self._open: dict[int, _Written] = {}
        self._num_joined = 0

    @property
    def active(self) -> tuple[int, ...]:
        """The unfinished ones."""
        return tuple(index for index, one in self._open.items() if one.num_steps < self._costs.num_steps)

    def join(self, prompts: Sequence[SimulatedPrompt]) -> list[int]:
        """Take the time of reading them, all in one call."""
        took_ms = self._costs.encoding_ms(sum(prompt.num_tokens for prompt in prompts))
        self._summarizer.sleep(took_ms / 1000)
        indices = [self._num_joined + place for place in range(len(prompts))]
        self._num_joined += len(prompts)
        for index, prompt in zip(indices, prompts, strict=True):
            self._open[index] = _Written(prompt=prompt, encode_ms=took_ms)
        return indices

    def step(self) -> None:
        """Take the time of one step for all active ones."""
        active = self.active
        took_ms = self._costs.stepping_ms(len(active))
        self._summarizer.sleep(took_ms / 1000)
        for index in active:
            self._open[index].num_steps += 1
            self._open[index].decode_ms += took_ms

    def release(self, index: int) -> None:
        """Forget it."""
        del self._open[index]

    def text(self, index: int) -> str:
        """As much of the sentence as steps were taken."""
        one = self._open[index]
        words = one.prompt.sentence.text.split()
        return " ".join(words[: len(words) * one.num_steps // self._costs.num_steps])

    def summary(self, index: int) -> Summary:
        """The sentence."""
        one = self._open[index]
        return Summary(
            sentences=(one.prompt.sentence,),
            coverage=one.prompt.coverage,
            num_input_tokens=one.prompt.num_tokens,
            num_output_tokens=one.num_steps * self._costs.step_width,
            num_steps=one.num_steps,
        )

    def encode_ms(self, index: int) -> float:
        """What reading it took, together with those that were read in the same call."""
        return self._open[index].encode_ms

    def decode_ms(self, index: int) -> float:
        """What its steps took."""
        return self._open[index].decode_ms
