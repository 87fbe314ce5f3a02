"""A summariser as it is, with a note of each call into it: is one running, and what became of its steps.

Steps are wasted where what they wrote for is given up before it is finished.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from qdts.models.document import Document, Summary
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.generative import Generation, Summarizer, TimesSteps
from qdts.service.heartbeat import Since
from qdts.service.scheduler import Prompt

OnWaste = Callable[[int], None]


class WatchedSummarizer:
    """`called` says for how long a call has been running; `on_waste` gets steps that were for nothing."""

    def __init__(self, summarizer: Summarizer, *, called: Since, on_waste: OnWaste) -> None:
        self._summarizer, self._called, self._on_waste = summarizer, called, on_waste

    @property
    def version(self) -> str:
        """As the summariser's."""
        return self._summarizer.version

    @property
    def info(self) -> RuntimeInfo:
        """As the summariser's."""
        return self._summarizer.info

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> Prompt:
        """As the summariser's; not watched: it is no call into the model."""
        return self._summarizer.prepare(query, document, max_words=max_words, passages_only=passages_only)

    def num_unread(self, prompt: Prompt) -> int:
        """As the summariser's."""
        return self._summarizer.num_unread(prompt)

    def step_ms(self, batch: int) -> float:
        """As the summariser's, if it knows; may be asked from any thread."""
        return self._summarizer.step_ms(batch) if isinstance(self._summarizer, TimesSteps) else 0.0

    def start(self, prompts: Sequence[Prompt]) -> Generation:
        """As the summariser's, watched."""
        with _during(self._called):
            return _WatchedGeneration(self._summarizer.start(prompts), self._called, self._on_waste)


class _WatchedGeneration:
    """As the generation it wraps; counts the steps of each of its sequences."""

    def __init__(self, generation: Generation, called: Since, on_waste: OnWaste) -> None:
        self._generation, self._called, self._on_waste = generation, called, on_waste
        self._num_steps: dict[int, int] = {}

    @property
    def active(self) -> tuple[int, ...]:
        """As the generation's."""
        return self._generation.active

    def join(self, prompts: Sequence[Prompt]) -> Sequence[int]:
        """As the generation's, watched."""
        with _during(self._called):
            return self._generation.join(prompts)

    def step(self) -> None:
        """As the generation's, watched."""
        for index in self._generation.active:
            self._num_steps[index] = self._num_steps.get(index, 0) + 1
        with _during(self._called):
            self._generation.step()

    def release(self, index: int) -> None:
        """As the generation's; steps for one that was not finished were in vain."""
        num_steps = self._num_steps.pop(index, 0)
        if num_steps and index in self._generation.active:
            self._on_waste(num_steps)
        self._generation.release(index)

    def text(self, index: int) -> str:
        """As the generation's."""
        return self._generation.text(index)

    def summary(self, index: int) -> Summary:
        """As the generation's."""
        return self._generation.summary(index)

    def encode_ms(self, index: int) -> float:
        """As the generation's."""
        return self._generation.encode_ms(index)

    def decode_ms(self, index: int) -> float:
        """As the generation's."""
        return self._generation.decode_ms(index)


@contextmanager
def _during(called: Since) -> Iterator[None]:
    called.begin()
    try:
        yield
    finally:
        called.end()
