"""A summariser as it is, with a note of each call into it: is one running, and what became of its steps.

A step counts once for each summary that it is for, when it is taken. It is wasted where nobody gets that summary: it is
given up before it is finished, another step for it fails, or it cannot be read.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from qdts.models.document import Document, Summary
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.generative import Generation, Summarizer, TimesSteps
from qdts.service.heartbeat import Since
from qdts.service.scheduler import Prompt

OnSteps = Callable[[int], None]


class WatchedSummarizer:
    """`called` says for how long a call has been running; `on_steps` gets all steps, `on_waste` those for nothing."""

    def __init__(self, summarizer: Summarizer, *, called: Since, on_steps: OnSteps, on_waste: OnSteps) -> None:
        self._summarizer, self._called, self._on_steps, self._on_waste = summarizer, called, on_steps, on_waste

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
            return _WatchedGeneration(self._summarizer.start(prompts), self._called, self._on_steps, self._on_waste)


class _WatchedGeneration:
    """As the generation it wraps; counts the steps of each of its sequences."""

    def __init__(self, generation: Generation, called: Since, on_steps: OnSteps, on_waste: OnSteps) -> None:
        self._generation, self._called, self._on_steps, self._on_waste = generation, called, on_steps, on_waste
        self._num_steps: dict[int, int] = {}  # of those whose summary nobody has got yet

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
        active = self._generation.active
        for index in active:
            self._num_steps[index] = self._num_steps.get(index, 0) + 1
        self._on_steps(len(active))
        with _during(self._called), ExitStack() as failing:
            failing.callback(self._waste, *active)
            self._generation.step()
            failing.pop_all()

    def release(self, index: int) -> None:
        """As the generation's; if its summary was not read, its steps were in vain."""
        self._waste(index)
        self._generation.release(index)

    def text(self, index: int) -> str:
        """As the generation's."""
        return self._generation.text(index)

    def summary(self, index: int) -> Summary:
        """As the generation's."""
        summary = self._generation.summary(index)
        self._num_steps.pop(index, None)
        return summary

    def encode_ms(self, index: int) -> float:
        """As the generation's."""
        return self._generation.encode_ms(index)

    def decode_ms(self, index: int) -> float:
        """As the generation's."""
        return self._generation.decode_ms(index)

    def _waste(self, *indices: int) -> None:
        if num_steps := sum(self._num_steps.pop(index, 0) for index in indices):
            self._on_waste(num_steps)


@contextmanager
def _during(called: Since) -> Iterator[None]:
    called.begin()
    try:
        yield
    finally:
        called.end()
