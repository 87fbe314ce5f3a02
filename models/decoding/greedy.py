"""Greedy decoding that verifies drafted tokens: draft -> verify -> accept -> trim.

The output is the greedy output, token for token, whatever was drafted: each drafted token is kept only if it
is the choice the runtime makes after everything before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qdts.models.decoding.base import DecodingState
from qdts.models.runtimes.base import Allowed, Batch, Ids, Runtime


@dataclass(slots=True)
class Row:
    """One sequence. `pending` is written but not yet in the cache; `tokens` excludes the prefix."""

    state: DecodingState
    pending: list[int]
    tokens: list[int] = field(default_factory=list[int])
    draft: list[int] = field(default_factory=list[int])
    is_active: bool = True
    num_drafted: int = 0
    num_accepted: int = 0


class GreedyDecoder:
    """Sequences over one runtime. A row ends at its state's end, at `max_tokens`, or when cancelled."""

    def __init__(
        self,
        runtime: Runtime,
        batch: Batch,
        prefixes: Sequence[Ids],
        states: Sequence[DecodingState],
        *,
        max_tokens: int,
        max_draft: int = 0,
    ) -> None:
        self.rows = [Row(state, prefix.tolist()) for state, prefix in zip(states, prefixes, strict=True)]
        self.num_steps = 0
        self._runtime = runtime
        self._batch = batch
        self._max_tokens = max_tokens
        self._max_draft = max_draft

    @property
    def active(self) -> tuple[int, ...]:
        """Indices of the unfinished rows."""
        return tuple(index for index, row in enumerate(self.rows) if row.is_active)

    def cancel(self, index: int) -> None:
        """Spend nothing on this row any more."""
        self.rows[index].is_active = False

    def step(self) -> None:
        """One forward pass for all active rows, if there are any: each gains at least one token."""
        if not self.active:
            return
        for row in self.rows:
            room = self._max_tokens - len(row.tokens) - 1
            row.draft = row.state.draft(min(self._max_draft, room)) if row.is_active and room > 0 else []
        tokens, counts, allowed = self._inputs()
        chosen = self._runtime.step(self._batch, tokens, counts, allowed)  # (B, T)
        before = self._batch.lengths - counts
        kept = before.copy()
        for index, row in enumerate(self.rows):
            if row.is_active:
                kept[index] += len(row.pending) + self._accept(row, chosen[index])
        self._runtime.keep(self._batch, kept)
        self.num_steps += 1

    def _inputs(self) -> tuple[Ids, Ids, Allowed]:
        """Tokens (B, T) padded, counts (B,), and the ids permitted after each token."""
        allowed = [_allowed(row) if row.is_active else [] for row in self.rows]  # may shorten a draft
        inputs = [[*row.pending, *row.draft] if row.is_active else [] for row in self.rows]
        counts = np.array([len(ids) for ids in inputs], np.int64)
        tokens = np.zeros((len(inputs), int(counts.max())), np.int64)
        for index, ids in enumerate(inputs):
            tokens[index, : len(ids)] = ids
        return tokens, counts, allowed

    def _accept(self, row: Row, chosen: Ids) -> int:
        """Take the drafted tokens that were right and the choice after them; returns how many were right."""
        first = len(row.pending) - 1
        num_right = 0
        while num_right < len(row.draft) and row.draft[num_right] == chosen[first + num_right]:
            num_right += 1
        row.num_drafted += len(row.draft)
        row.num_accepted += num_right
        for token in (*row.draft[:num_right], int(chosen[first + num_right])):
            if row.state.finished:
                break  # the draft held the end: the choice after it means nothing
            row.state.advance(token)
            row.tokens.append(token)
        row.pending = row.tokens[-1:]
        row.is_active = not row.state.finished and len(row.tokens) < self._max_tokens
        return num_right


_UNUSED: Ids = np.zeros(1, np.int64)


def _allowed(row: Row) -> list[Ids | None]:
    """What may follow each of the row's input tokens; before the last pending one nothing is chosen."""
    state = row.state.copy()
    allowed: list[Ids | None] = [_UNUSED] * (len(row.pending) - 1)
    allowed.append(state.allowed())
    for index, token in enumerate(row.draft):
        options = allowed[-1]
        if state.finished or (options is not None and token not in options):
            # A draft that breaks the grammar is wrong from here on.
            row.draft = row.draft[:index]
            return allowed
        state.advance(token)
        allowed.append(_UNUSED if state.finished else state.allowed())
    return allowed
