"""What the engine asks of a generative model; qdts.models.summarizer has the real one."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from qdts.models.document import Document, Summary
from qdts.models.document_states import StatesStore
from qdts.models.runtimes.base import RuntimeInfo
from qdts.service.scheduler import Prompt


class Generation(Protocol):
    """Summaries being written."""

    @property
    def active(self) -> tuple[int, ...]:
        """Indices of the unfinished ones."""
        ...

    def join(self, prompts: Sequence[Prompt]) -> Sequence[int]:
        """Encode, and write these from now on, too; their indices. Where it fails, the others go on."""
        ...

    def step(self) -> None:
        """One model step for all active ones."""
        ...

    def release(self, index: int) -> None:
        """Forget this one, and spend nothing on it any more."""
        ...

    def text(self, index: int) -> str:
        """What is written so far."""
        ...

    def summary(self, index: int) -> Summary:
        """The result of a finished one."""
        ...

    def encode_ms(self, index: int) -> float:
        """Milliseconds that reading took."""
        ...

    def decode_ms(self, index: int) -> float:
        """Milliseconds of the steps it was in."""
        ...


class Preparer(Protocol):
    """The half of a generative model that reads text: what there is of it where the engine is elsewhere."""

    @property
    def version(self) -> str:
        """The model's "name@digest"."""
        ...

    @property
    def info(self) -> RuntimeInfo:
        """What executes it."""
        ...

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> Prompt:
        """Text work; may run in any thread."""
        ...


class Summarizer(Preparer, Protocol):
    """A generative model: blocking, and but for prepare() not thread-safe."""

    def num_unread(self, prompt: Prompt) -> int:
        """Tokens that are to be encoded for it."""
        ...

    def start(self, prompts: Sequence[Prompt]) -> Generation:
        """Encode; their indices are 0, 1 and so on."""
        ...


@runtime_checkable
class SharesStates(Protocol):
    """A model that can look for document states where other processes put them."""

    def share_states(self, store: StatesStore) -> None:
        """Before first use."""
        ...

    def fetch(self, prompt: Prompt, *, within_s: float) -> None:
        """Bring what other processes have read of it here. May run in any thread; waits, but no longer than that."""
        ...


@runtime_checkable
class TimesSteps(Protocol):
    """A model that knows what a step takes on this machine."""

    def step_ms(self, batch: int) -> float:
        """Milliseconds of a step of so many sequences, 0 if not measured. May be asked from any thread."""
        ...
