"""Greedy decoding that verifies drafted tokens: draft -> verify -> accept -> trim.

The output is the greedy output, token for token, whatever was drafted: each drafted token is kept only if it
is the choice the runtime makes after everything before it. Sequences join and leave between two steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qdts.models.decoding.base import DecodingState
from qdts.models.decoding.drafting.base import Drafter, NoDrafter
from qdts.models.decoding.drafting.draft import ROOT, UNKNOWN, Draft
from qdts.models.decoding.gate import DraftGate, Offer
from qdts.models.decoding.tracker import DraftTracker
from qdts.models.runtimes.base import Allowed, Batch, Floats, Ids, Noise, Runtime, States


@dataclass(slots=True)
class Row:
    """One sequence. `pending`, at first its prefix, is written but not yet in the cache; `tokens` excludes it."""

    pending: list[int]
    state: DecodingState
    drafter: Drafter = field(default_factory=NoDrafter)
    tokens: list[int] = field(default_factory=list[int])
    is_active: bool = True
    num_steps: int = 0
    num_drafted: int = 0
    num_accepted: int = 0
    tracker: DraftTracker = field(default_factory=DraftTracker)


@dataclass(slots=True)
class _Step:
    """A row's input: its pending tokens, then those of its draft that the grammar permits.

    `places[i]` is where token i of the drafter's draft stands in `draft`, ROOT if nowhere; `allowed` are the ids
    permitted after each token of the input.
    """

    pending: list[int]
    draft: Draft
    places: list[int]
    allowed: list[Ids | None]

    def tokens(self) -> list[int]:
        return [*self.pending, *self.draft.tokens]

    def parents(self) -> list[int]:
        last = len(self.pending) - 1
        return [*range(-1, last), *(last if p == ROOT else last + 1 + p for p in self.draft.parents)]


_UNUSED: Ids = np.zeros(1, np.int64)


class GreedyDecoder:
    """Sequences over one runtime. A row ends at its state's end, at `max_tokens`, or when cancelled; then it leaves the
    batch before the next step, and can be read until it is released.

    `max_draft` bounds the drafted tokens of a row in one step; 0 writes token by token. A gate lets through what is
    worth its cost, without one everything is verified.
    """

    def __init__(
        self,
        runtime: Runtime,
        batch: Batch,
        rows: Sequence[Row],
        *,
        max_tokens: int,
        max_draft: int = 0,
        gate: DraftGate | None = None,
    ) -> None:
        # By index; what is released goes, no index comes again.
        self.rows = dict(enumerate(rows))
        self.num_steps = 0
        self._runtime = runtime
        self._batch = batch
        self._max_tokens = max_tokens
        self._max_draft = max_draft
        self._gate = gate
        self._in_batch = list(rows)  # in the batch's order
        self._num_indices = len(rows)

    @property
    def active(self) -> tuple[int, ...]:
        """Indices of the unfinished rows."""
        return tuple(index for index, row in self.rows.items() if row.is_active)

    def join(
        self,
        rows: Sequence[Row],
        states: Sequence[States],
        features: Sequence[Floats | None],
        noise: Sequence[Noise | None] = (),
    ) -> list[int]:
        """Further rows on these documents; their indices. Where that fails, nothing has changed for the others."""
        self._leave()
        self._runtime.join(self._batch, states, features, noise)
        indices = [self._num_indices + place for place in range(len(rows))]
        self.rows |= zip(indices, rows, strict=True)
        self._in_batch += rows
        self._num_indices += len(rows)
        return indices

    def cancel(self, index: int) -> None:
        """Spend nothing on this row any more."""
        self.rows[index].is_active = False

    def release(self, index: int) -> None:
        """Forget this row."""
        self.rows.pop(index).is_active = False

    def step(self) -> None:
        """One forward pass for all active rows, if there are any: each gains at least one token."""
        self._leave()
        if not self._in_batch:
            return
        steps = self._prepare()
        chosen = self._runtime.step(self._batch, *_inputs(steps))  # (B, T)
        told = zip(self._in_batch, steps, chosen, strict=True)
        self._runtime.keep(self._batch, [self._accept(*one) for one in told])
        self.num_steps += 1

    def _leave(self) -> None:
        """Those that have ended give up their places in the batch."""
        ended = [place for place, row in enumerate(self._in_batch) if not row.is_active]
        if ended:
            kept = self._runtime.leave(self._batch, np.array(ended))
            self._in_batch = [self._in_batch[place] for place in kept]

    def _prepare(self) -> list[_Step]:
        """What each row has the net read."""
        drafts = [row.drafter.draft(self._room(row)) for row in self._in_batch]
        limits = [len(draft) for draft in drafts]
        if self._gate is not None:
            offers = [Offer(len(row.pending), draft) for row, draft in zip(self._in_batch, drafts, strict=True)]
            limits = self._gate.limits(offers)
        for row, draft in zip(self._in_batch, drafts, strict=True):
            row.tracker.watch(draft)
        return [_permitted(*one) for one in zip(self._in_batch, drafts, limits, strict=True)]

    def _room(self, row: Row) -> int:
        """Tokens that may be drafted: the one after the draft is written, too."""
        return min(self._max_draft, self._max_tokens - len(row.tokens) - 1)

    def _accept(self, row: Row, step: _Step, chosen: Ids) -> Ids:
        """Write the choice after the pending tokens, and, while it was drafted, the one after that.

        Returns the columns of the step whose tokens are written now.
        """
        column = len(step.pending) - 1
        columns = list(range(column + 1))
        after = chosen[column + 1 :]  # each token of the draft
        children = step.draft.children()
        node, num_right, written = ROOT, 0, list[int]()
        while row.is_active:
            token = int(chosen[column])
            row.state.advance(token)
            written.append(token)
            row.is_active = not row.state.finished and len(row.tokens) + len(written) < self._max_tokens
            node = next((child for child in children[node] if step.draft.tokens[child] == token), ROOT)
            if node == ROOT:
                break
            num_right += 1
            column = len(step.pending) + node
            columns.append(column)
        row.tokens += written
        row.pending = written[-1:]
        row.num_steps += 1
        row.num_drafted += len(step.draft)
        row.num_accepted += num_right
        if self._gate is not None:
            row.tracker.follow(written, self._gate)
        row.drafter.observe([UNKNOWN if place == ROOT else int(after[place]) for place in step.places])
        row.drafter.extend(written)
        # The last one written is pending: it is not kept, though it may have been drafted.
        return np.array(columns[: len(step.pending) + len(written) - 1])


def _inputs(steps: Sequence[_Step]) -> tuple[Ids, Ids, Allowed, Ids | None]:
    """Tokens (B, T) padded, counts (B,), the ids permitted after each token, and, unless all are chains, parents."""
    counts = np.array([len(step.allowed) for step in steps], np.int64)
    tokens = np.zeros((len(steps), int(counts.max())), np.int64)
    for row, step, count in zip(tokens, steps, counts, strict=True):
        row[:count] = step.tokens()
    allowed = [step.allowed for step in steps]
    if all(step.draft.is_chain for step in steps):
        return tokens, counts, allowed, None
    parents = np.tile(np.arange(-1, tokens.shape[1] - 1), (len(steps), 1))
    for row, step, count in zip(parents, steps, counts, strict=True):
        row[:count] = step.parents()
    return tokens, counts, allowed, parents


def _permitted(row: Row, guess: Draft, max_tokens: int) -> _Step:
    """The guess without what breaks the grammar, and what follows that; before the last pending token nothing is
    chosen. A second sibling of the same token counts as broken, too."""
    draft, places = Draft(odds=guess.odds), list[int]()
    options = row.state.allowed()
    allowed: list[Ids | None] = [*[_UNUSED] * (len(row.pending) - 1), options]
    after = {ROOT: (row.state.copy(), options)}  # state and options after each token of `draft`
    num_children = [len(found) for found in guess.children()]
    for token, parent in zip(guess.tokens[:max_tokens], guess.parents, strict=False):
        place = places[parent] if parent != ROOT else ROOT
        state, options = after[place]
        num_children[parent] -= 1
        is_cut = (parent != ROOT and place == ROOT) or draft.find(token, place) != ROOT
        if is_cut or state.finished or (options is not None and token not in options):
            places.append(ROOT)
            continue
        # The last child takes the state over: a chain copies nothing.
        state = state.copy() if num_children[parent] else state
        state.advance(token)
        options = _UNUSED if state.finished else state.allowed()
        places.append(draft.add(token, place))
        after[places[-1]] = (state, options)
        allowed.append(options)
    return _Step(row.pending, draft, [*places, *[ROOT] * (len(guess) - len(places))], allowed)
