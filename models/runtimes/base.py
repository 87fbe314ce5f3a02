"""The contract between decoding and whatever executes a forward pass. Ids and arrays only, no text.

A runtime encodes documents, opens one sequence per document on those states, and extends all
sequences of a batch by T given tokens per step, returning the greedy choice after each of them.
It keeps the KV cache; it never decides what to draft, accept or stop.

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


class Batch(Protocol):
    """Sequences in flight with their KV cache. Rows keep their index until the batch is dropped."""

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

    def start(self, states: Sequence[States], features: Sequence[Floats | None]) -> Batch:
        """Open one sequence per document: add the projected features (S_i, F), project cross-attention K/V."""
        ...

    def step(self, batch: Batch, tokens: Ids, counts: Ids, allowed: Allowed | None = None) -> Ids:
        """Append counts[b] <= T of tokens (B, T) to each sequence; return the greedy choice (B, T) after each.

        Column t is the argmax (lowest id on ties) given everything up to and including tokens[b, t]; where
        allowed[b][t] is given, what `choice.greedy_choice` chooses among those ids. Columns at or past counts[b] are
        undefined.
        counts[b] may be 0: that sequence is left as it was.
        """
        ...

    def keep(self, batch: Batch, lengths: Ids) -> None:
        """Cut each sequence's cache back to lengths (B,): drafted tokens that were not accepted are forgotten."""
        ...
