"""The generative model from end to end: a query and a document in, a summary with its sources out.

Blocking, and but for `prepare` not thread-safe: one thread owns it. Knows nothing of requests or deadlines;
its user calls `step` and cancels between steps.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError

from qdts.errors import WeightsCorrupt
from qdts.models.copy_source import copy_state, piece_drafter, quote_piece
from qdts.models.decoding.costs import batch_sizes_up_to, measure_step_costs
from qdts.models.decoding.gate import DraftGate
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.document import Document, Summary, SummarySentence
from qdts.models.document_states import DocumentStates
from qdts.models.interaction import NUM_FEATURES
from qdts.models.lexicon import Lexicon
from qdts.models.manifest import verify
from qdts.models.prompt import Mode, Prompt, PromptBuilder, PromptConfig
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Floats, Runtime, RuntimeInfo, States
from qdts.models.runtimes.config import Precision, RuntimeConfig
from qdts.models.settings import ModelSettings
from qdts.models.similarity import similarity_features
from qdts.models.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarizerConfig:
    """How a model is run. `max_draft` 0 writes token by token: same text, more steps; otherwise loading measures what
    steps cost here."""

    runtime: str = "onnx"
    precision: Precision = "int8"
    num_threads: int | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    max_output_tokens: int = 160
    max_draft: int = 64
    # The most prompts that one `start` is given: for so many at most the cost of steps is measured.
    max_batch: int = 1
    # joint: the encoder reads query and document together; indexed: the document alone, so that its states can be kept,
    # up to so many bytes of them.
    mode: Mode = "joint"
    states_bytes: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.max_output_tokens <= 512:
            raise ValueError(f"max_output_tokens must lie in [1, 512], is {self.max_output_tokens}")
        if not 0 <= self.max_draft <= 128:
            raise ValueError(f"max_draft must lie in [0, 128], is {self.max_draft}")
        if self.max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, is {self.max_batch}")
        if self.states_bytes < 0:
            raise ValueError(f"states_bytes must be at least 0, is {self.states_bytes}")


class Summarizer:
    """A model directory, loaded."""

    def __init__(
        self,
        version: str,
        builder: PromptBuilder,
        runtime: Runtime,
        config: SummarizerConfig,
        settings: ModelSettings | None = None,
        gate: DraftGate | None = None,
    ) -> None:
        self.version = version
        self._builder = builder
        self._runtime = runtime
        self._config = config
        self._settings = settings or ModelSettings()
        self._gate = gate
        self._states = DocumentStates(config.states_bytes) if config.states_bytes and config.mode == "indexed" else None

    @classmethod
    def load(cls, path: Path, config: SummarizerConfig | None = None) -> Self:
        """Verify the directory against its manifest, then load it. WeightsError where it is refused."""
        config = config or SummarizerConfig()
        manifest = verify(path)
        execution = RuntimeConfig(
            precision=config.precision, num_threads=config.num_threads, providers=config.providers
        )
        try:
            builder = PromptBuilder(
                Tokenizer.load(path / "tokenizer.json"),
                Lexicon.load(path / "lexicon.safetensors"),
                config.prompt,
            )
            settings = ModelSettings.load(path)
            runtime = load_runtime(config.runtime, path, execution)
        except (KeyError, ValueError, SafetensorError) as error:
            # As the manifest has them, and yet not what they should be: released wrongly.
            raise WeightsCorrupt(f"{path}: {type(error).__name__} while loading: {error}") from error
        gate = open_gate(runtime, config.max_batch) if config.max_draft else None
        return cls(f"{manifest.name}@{manifest.digest[:12]}", builder, runtime, config, settings, gate)

    @property
    def info(self) -> RuntimeInfo:
        """What executes the model."""
        return self._runtime.info

    def prepare(
        self,
        query: str,
        document: Document,
        *,
        max_words: int,
        mode: Mode | None = None,
        passages_only: bool = False,
    ) -> Prompt:
        """Text work: choose passages, tokenise, compute features. May run in any thread. `mode` None: the config's."""
        return self._builder.build(
            query, document, max_words=max_words, mode=mode or self._config.mode, passages_only=passages_only
        )

    def start(self, prompts: Sequence[Prompt]) -> "Generation":
        """Encode the documents and open one sequence each."""
        trims = self._settings.copying.trims
        return Generation(self._runtime, prompts, self._config, trims=trims, gate=self._gate, kept=self._states)


def open_gate(runtime: Runtime, max_batch: int) -> DraftGate:
    """A gate that knows what steps cost here."""
    return DraftGate(measure_step_costs(runtime, batch_sizes=batch_sizes_up_to(max_batch)))


def read_prompts(
    runtime: Runtime, prompts: Sequence[Prompt], kept: DocumentStates | None = None
) -> tuple[list[States], list[Floats]]:
    """Encode documents, but for those whose states are kept, and queries where the net compares the two; states and
    features per prompt."""
    documents = [prompt.encoder_ids for prompt in prompts]
    states = runtime.encode(documents) if kept is None else kept.read(runtime, documents)
    features = [prompt.features for prompt in prompts]
    if runtime.num_features == NUM_FEATURES:
        queries = runtime.encode([prompt.query_ids for prompt in prompts])
        made = [
            similarity_features(prompt.encoder_ids, document.hidden, query.hidden)
            for prompt, document, query in zip(prompts, states, queries, strict=True)
        ]
        features = [np.concatenate(pair, axis=1) for pair in zip(features, made, strict=True)]
    return states, features


class Generation:
    """Summaries being written, one per prompt: `while g.active: g.step()`."""

    def __init__(
        self,
        runtime: Runtime,
        prompts: Sequence[Prompt],
        config: SummarizerConfig,
        *,
        trims: bool = False,
        gate: DraftGate | None = None,
        kept: DocumentStates | None = None,
    ) -> None:
        started = time.monotonic()
        self._prompts = prompts
        self._states = [copy_state(prompt, trims=trims) for prompt in prompts]
        batch = runtime.start(*read_prompts(runtime, prompts, kept))
        rows = [
            Row(prompt.prefix.tolist(), state, piece_drafter(prompt, state))
            for prompt, state in zip(prompts, self._states, strict=True)
        ]
        self._decoder = GreedyDecoder(
            runtime, batch, rows, max_tokens=config.max_output_tokens, max_draft=config.max_draft, gate=gate
        )
        self.encode_ms = 1000 * (time.monotonic() - started)
        self.decode_ms = 0.0

    @property
    def active(self) -> tuple[int, ...]:
        """Indices of the unfinished ones."""
        return self._decoder.active

    @property
    def num_steps(self) -> int:
        """Forward passes of the decoder so far."""
        return self._decoder.num_steps

    def step(self) -> None:
        """One model step for all active ones."""
        started = time.monotonic()
        self._decoder.step()
        self.decode_ms += 1000 * (time.monotonic() - started)

    def cancel(self, index: int) -> None:
        """Spend nothing on this one any more."""
        self._decoder.cancel(index)

    def tokens(self, index: int) -> list[int]:
        """The ids written so far, markers and end included."""
        return list(self._decoder.rows[index].tokens)

    def text(self, index: int) -> str:
        """What is written so far."""
        return " ".join(sentence.text for sentence in self._sentences(index))

    def summary(self, index: int) -> Summary:
        """The summary as it stands; final once the index is no longer active."""
        prompt = self._prompts[index]
        return Summary(
            sentences=self._sentences(index),
            coverage=prompt.coverage,
            num_input_tokens=len(prompt.encoder_ids) + len(prompt.prefix),
            num_output_tokens=len(self._decoder.rows[index].tokens),
            num_steps=self._decoder.num_steps,
        )

    def _sentences(self, index: int) -> tuple[SummarySentence, ...]:
        prompt, pieces = self._prompts[index], self._states[index].pieces
        return tuple(quote_piece(piece, prompt) for piece in pieces)
