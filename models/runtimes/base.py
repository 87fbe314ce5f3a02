"""The contract between decoding and whatever executes a forward pass. Ids and arrays only, no text.

A runtime encodes documents, opens one sequence per document on those states, and extends all
sequences of a batch by T given tokens per step, returning the choice after each of them; between two steps
sequences join the batch and leave it. It keeps the KV cache; it never decides what to draft, accept or stop.

Shapes: B batch · S document tokens · F interaction features · C hidden · P prefix · T tokens of a step · V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
# Allowed[b][t] lists the ids permitted after token t of sequence b; None permits the whole vocabulary.
Allowed = Sequence[Sequence[Ids | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeInfo:
    """What a runtime is: for logs, `GetServerInfo` and benchmark rows."""

    name: str  # "eager", "onnx"
    precision: str  # "fp32", "int8"
    device: str  # "cpu", "cuda:0"
    num_threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Encoder output of one document, query-free unless the query was part of the input: `hidden` (S, C)."""

    hidden: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What makes a sequence a sample: draws from softmax(scores / temperature), the same ones for the same seed."""

    seed: int
    temperature: float

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, is {self.seed}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, is {self.temperature}; without noise decoding is greedy")


class Batch(Protocol):
    """Sequences in flight with their KV cache, in rows 0 to B - 1. Only `join` and `leave` change whose they are."""

    @property
    def lengths(self) -> Ids:
        """(B,) tokens held in the decoder's cache per sequence."""
        ...


class Runtime(Protocol):
    """Encode once, then step. Every runtime gives the same tokens at the same precision."""

    @property
    def info(self) -> RuntimeInfo: ...

    @property
    def num_features(self) -> int:
        """F, the interaction features that `start` takes per token; 0: none."""
        ...

    def encode(self, documents: Sequence[Ids]) -> list[States]:
        """Ids (S_i,) per document -> states (S_i, C) per document. Padding never changes a result."""
        ...

    def start(
        self, states: Sequence[States], features: Sequence[Floats | None], noise: Sequence[Noise | None] = ()
    ) -> Batch:
        """Open one sequence per document: add the projected features (S_i, F), project cross-attention K/V.

        A sequence with noise is sampled, one without, and all if there is none, decoded greedily.
        """
        ...

    def join(
        self,
        batch: Batch,
        states: Sequence[States],
        features: Sequence[Floats | None],
        noise: Sequence[Noise | None] = (),
    ) -> None:
        """Open further sequences, as `start` does, in a batch that runs: rows B, B + 1 and so on.

        Where that fails, the batch is as it was.
        """
        ...

    def leave(self, batch: Batch, rows: Ids) -> Ids:
        """Close these sequences: nothing is computed or read for them any more, and their memory is reused.

        Returns which of the rows before each row that remains was, (B',): there are no gaps, so the others may move.
        That is what keeps a step's arrays in one piece, as in vLLM's `InputBatch.condense` (vllm/v1/worker).
        """
        ...

    def step(
        self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None, parents: Ids | None = None
    ) -> Ids:
        """Append counts[b] <= T of tokens (B, T) to each sequence; return the choice (B, T) after each.

        Token t of a sequence follows its token parents[b, t] < t of this step, or, where that is -1, what was kept
        before: a tree, in which a token sees its ancestors alone. None: each follows the one before, a chain.

        Column t is the argmax (lowest id on ties) given everything up to and including tokens[b, t]; where
        allowed[b][t] is given, what `choice.greedy_choice` chooses among those ids; where the sequence has noise, a
        draw. Columns at or past counts[b] are undefined.
        counts[b] may be 0: that sequence is left as it was.
        """
        ...

    def keep(self, batch: Batch, columns: Sequence[Ids]) -> None:
        """Of each sequence's tokens of the last step keep these columns, ascending, and forget the others.

        To be called before any sequence joins or leaves.
        """
        ...
