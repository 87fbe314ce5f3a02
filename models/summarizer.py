"""The generative model from end to end: a query and a document in, a summary with its sources out.

Blocking, and but for `prepare` not thread-safe: one thread owns it. Knows nothing of requests or deadlines;
its user calls `step`, and between steps lets others join, cancels and releases.
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
from qdts.models.decoding.copying import CopyState
from qdts.models.decoding.costs import batch_sizes_up_to
from qdts.models.decoding.gate import DraftGate
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.decoding.measuring import measure_step_costs
from qdts.models.document import Document, Summary, SummarySentence
from qdts.models.document_states import DocumentStates, StatesStore
from qdts.models.interaction import NUM_FEATURES
from qdts.models.manifest import verify
from qdts.models.prompt import Mode, Prompt, PromptBuilder, PromptConfig
from qdts.models.runtimes import load_runtime
from qdts.models.runtimes.base import Floats, Runtime, RuntimeInfo, States
from qdts.models.runtimes.config import Precision, RuntimeConfig
from qdts.models.settings import ModelSettings
from qdts.models.similarity import similarity_features


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
    # The most summaries that are written at once: for so many at most the cost of steps is measured.
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
        self._states = DocumentStates(config.states_bytes) if _keeps_states(config) else None

    @classmethod
    def load(cls, path: Path, config: SummarizerConfig | None = None) -> Self:
        """Verify the directory against its manifest, then load it. WeightsError where it is refused."""
        config = config or SummarizerConfig()
        manifest = verify(path)
        execution = RuntimeConfig(
            precision=config.precision, num_threads=config.num_threads, providers=config.providers
        )
        try:
            builder = PromptBuilder.load(path, config.prompt)
            settings = ModelSettings.load(path)
            runtime = load_runtime(config.runtime, path, execution)
        except (KeyError, ValueError, SafetensorError) as error:
            # As the manifest has them, and yet not what they should be: released wrongly.
            raise WeightsCorrupt(f"{path}: {type(error).__name__} while loading: {error}") from error
        gate = open_gate(runtime, config.max_batch) if config.max_draft else None
        return cls(manifest.label, builder, runtime, config, settings, gate)

    @property
    def info(self) -> RuntimeInfo:
        """What executes the model."""
        return self._runtime.info

    def share_states(self, store: StatesStore) -> None:
        """Keep document states in `store`, too, and look there for what other processes have read. Before first use;
        changes nothing where states are not kept."""
        if _keeps_states(self._config):
            self._states = DocumentStates(self._config.states_bytes, store)

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

    def fetch(self, prompt: Prompt, *, within_s: float) -> None:
        """Bring the states that other processes have of its document here, so that the model's thread need not wait.

        May run in any thread; waits for them, but no longer than that.
        """
        if self._states is not None:
            self._states.fetch(prompt.encoder_ids, within_s=within_s)

    def num_unread(self, prompt: Prompt) -> int:
        """Tokens that are to be encoded for it, now. Not thread-safe, as all but `prepare`."""
        is_known = self._states is not None and self._states.knows(prompt.encoder_ids)
        num_query = len(prompt.query_ids) if compares_states(self._runtime) else 0
        return num_query + (0 if is_known else len(prompt.encoder_ids))

    def step_ms(self, batch: int) -> float:
        """What a decoder step of so many sequences takes, as measured when the model was loaded; 0 if it was not."""
        return 0.0 if self._gate is None else self._gate.step_ms(batch)

    def start(self, prompts: Sequence[Prompt]) -> "Generation":
        """Encode the documents and open one sequence each."""
        trims = self._settings.copying.trims
        return Generation(self._runtime, prompts, self._config, trims=trims, gate=self._gate, kept=self._states)


def _keeps_states(config: SummarizerConfig) -> bool:
    return config.mode == "indexed" and config.states_bytes > 0


def open_gate(runtime: Runtime, max_batch: int) -> DraftGate:
    """A gate that knows what steps cost here."""
    return DraftGate(measure_step_costs(runtime, batch_sizes=batch_sizes_up_to(max_batch)))


def compares_states(runtime: Runtime) -> bool:
    """Whether the net takes features that come of comparing the query's states to the document's."""
    return runtime.num_features == NUM_FEATURES


def read_prompts(
    runtime: Runtime, prompts: Sequence[Prompt], kept: DocumentStates | None = None
) -> tuple[list[States], list[Floats]]:
    """Encode documents, but for those whose states are kept, and queries where the net compares the two; states and
    features per prompt."""
    documents = [prompt.encoder_ids for prompt in prompts]
    states = runtime.encode(documents) if kept is None else kept.read(runtime, documents)
    features = [prompt.features for prompt in prompts]
    if compares_states(runtime):
        queries = runtime.encode([prompt.query_ids for prompt in prompts])
        made = [
            similarity_features(prompt.encoder_ids, document.hidden, query.hidden)
            for prompt, document, query in zip(prompts, states, queries, strict=True)
        ]
        features = [np.concatenate(pair, axis=1) for pair in zip(features, made, strict=True)]
    return states, features


@dataclass(slots=True)
class _Sequence:
    """A summary being written. `row` is the decoder's."""

    prompt: Prompt
    state: CopyState
    row: Row
    encode_ms: float = 0.0
    decode_ms: float = 0.0


class Generation:
    """Summaries being written, one per prompt: `while g.active: g.step()`. Between two steps others may join.

    An index stands for the same summary until it is released. `max_output_tokens` bounds each.
    """

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
        self._runtime = runtime
        self._trims = trims
        self._kept = kept
        sequences = self._open(prompts)
        batch = runtime.start(*read_prompts(runtime, prompts, kept))
        self._decoder = GreedyDecoder(
            runtime,
            batch,
            [sequence.row for sequence in sequences],
            max_tokens=config.max_output_tokens,
            max_draft=config.max_draft,
            gate=gate,
        )
        self._sequences = dict(enumerate(sequences))
        self._encoded(sequences, started)

    @property
    def active(self) -> tuple[int, ...]:
        """Indices of the unfinished ones."""
        return self._decoder.active

    @property
    def num_steps(self) -> int:
        """Forward passes of the decoder so far."""
        return self._decoder.num_steps

    def join(self, prompts: Sequence[Prompt]) -> list[int]:
        """Encode further documents and open a sequence for each, from now on part of every step; their indices.

        Where that fails, nothing has changed for the others.
        """
        started = time.monotonic()
        sequences = self._open(prompts)
        rows = [sequence.row for sequence in sequences]
        indices = self._decoder.join(rows, *read_prompts(self._runtime, prompts, self._kept))
        self._sequences |= zip(indices, sequences, strict=True)
        self._encoded(sequences, started)
        return indices

    def step(self) -> None:
        """One model step for all active ones."""
        active, started = self.active, time.monotonic()
        self._decoder.step()
        took_ms = 1000 * (time.monotonic() - started)
        for index in active:
            self._sequences[index].decode_ms += took_ms

    def cancel(self, index: int) -> None:
        """Spend nothing on this one any more: it leaves the batch before the next step."""
        self._decoder.cancel(index)

    def release(self, index: int) -> None:
        """Forget this one, whether it is finished or not."""
        self._decoder.release(index)
        del self._sequences[index]

    def encode_ms(self, index: int) -> float:
        """What passed from its coming to its first step: the reading of all that came together."""
        return self._sequences[index].encode_ms

    def decode_ms(self, index: int) -> float:
        """The steps that it had a part in."""
        return self._sequences[index].decode_ms

    def tokens(self, index: int) -> list[int]:
        """The ids written so far, markers and end included."""
        return list(self._sequences[index].row.tokens)

    def text(self, index: int) -> str:
        """What is written so far."""
        return " ".join(sentence.text for sentence in self._sentences(index))

    def summary(self, index: int) -> Summary:
        """The summary as it stands; final once the index is no longer active."""
        sequence = self._sequences[index]
        prompt, row = sequence.prompt, sequence.row
        return Summary(
            sentences=self._sentences(index),
            coverage=prompt.coverage,
            num_input_tokens=len(prompt.encoder_ids) + len(prompt.prefix),
            num_output_tokens=len(row.tokens),
            num_steps=row.num_steps,
        )

    def _open(self, prompts: Sequence[Prompt]) -> list[_Sequence]:
        opened: list[_Sequence] = []
        for prompt in prompts:
            state = copy_state(prompt, trims=self._trims)
            row = Row(prompt.prefix.tolist(), state, piece_drafter(prompt, state))
            opened.append(_Sequence(prompt, state, row))
        return opened

    def _encoded(self, sequences: Sequence[_Sequence], started: float) -> None:
        for sequence in sequences:
            sequence.encode_ms = 1000 * (time.monotonic() - started)

    def _sentences(self, index: int) -> tuple[SummarySentence, ...]:
        sequence = self._sequences[index]
        return tuple(quote_piece(piece, sequence.prompt) for piece in sequence.state.pieces)
