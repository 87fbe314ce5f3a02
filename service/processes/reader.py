"""The half of a generative model that a front needs: it reads requests; what the engine told of itself is the rest."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from safetensors import SafetensorError

from qdts.errors import WeightsCorrupt
from qdts.models.document import Document
from qdts.models.manifest import verify
from qdts.models.prompt import Mode, PromptBuilder, PromptConfig
from qdts.models.prompt_codec import pack_prompt
from qdts.models.runtimes.base import RuntimeInfo
from qdts.models.shipped import find_model
from qdts.service.config import EngineConfig
from qdts.service.processes.messages import EngineFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedPrompt:
    """A prompt as it travels. `key` is the same for what has the same encoder states, in all processes."""

    data: bytes
    key: int


class Reader(Protocol):
    """Prepares prompts for a model that is elsewhere."""

    @property
    def version(self) -> str: ...

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> PackedPrompt:
        """Text work; may run in any thread."""
        ...


LoadReader = Callable[[EngineConfig], Reader | None]


class PromptReader:
    """With a model directory's tokenizer and lexicon."""

    def __init__(self, version: str, builder: PromptBuilder, mode: Mode) -> None:
        self.version = version
        self._builder = builder
        self._mode: Mode = mode

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> PackedPrompt:
        """Choose passages, tokenise, compute features, pack; here, so that the event loop need not."""
        prompt = self._builder.build(query, document, max_words=max_words, mode=self._mode, passages_only=passages_only)
        return PackedPrompt(data=pack_prompt(prompt), key=zlib.crc32(prompt.encoder_ids.tobytes()))


class RemoteSummarizer:
    """What a ladder asks of a model, where the engine is elsewhere."""

    def __init__(self, reader: Reader, facts: EngineFacts) -> None:
        self._reader, self._facts = reader, facts

    @property
    def version(self) -> str:
        """The model's, on both sides."""
        return self._reader.version

    @property
    def info(self) -> RuntimeInfo:
        """What executes it, there."""
        return self._facts.info

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> PackedPrompt:
        """As the reader's."""
        return self._reader.prepare(query, document, max_words=max_words, passages_only=passages_only)

    def step_ms(self, batch: int) -> float:
        """As measured there; 0 if it was not. The longest for more sequences than an engine writes at once."""
        steps = self._facts.step_ms
        return steps[min(batch, len(steps)) - 1] if steps else 0.0


def load_reader(config: EngineConfig) -> Reader | None:
    """That of the model which the configuration names, or None. WeightsError where its directory is refused."""
    path = find_model(config.model)
    if path is None:
        return None
    manifest = verify(path)
    try:
        builder = PromptBuilder.load(path, PromptConfig(max_kept_chars=config.kept_chars))
    except (KeyError, ValueError, SafetensorError) as error:
        raise WeightsCorrupt(f"{path}: {type(error).__name__} while loading: {error}") from error
    return PromptReader(manifest.label, builder, config.mode)
