"""The choice after a token: one rule for every runtime, and for whatever predicts what serving would write.

Sampling is a greedy choice, too: of scores to which noise was added (the Gumbel-max trick; Maddison et al. 2014, "A*
Sampling"). The noise is a function of seed, position and id alone, so drafts change a sampled text as little as a
greedy one.

Shapes: B batch · T tokens of this step · N positions · K options · C hidden · V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from qdts.models.runtimes.base import Allowed, Floats, Ids, Noise
from qdts.models.tokenizer import END


class Head(Protocol):
    """Scores of vocabulary entries at decoder states."""

    def best(self, hidden: Floats) -> Ids:
        """(N, C) -> (N,), the lowest id of the highest score in the whole vocabulary"""
        return self.scores(hidden, None).argmax(-1)

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        """(N, C) -> (N, len(ids)), or (N, V) where ids is None"""
        ...


@dataclass(frozen=True, slots=True)
class RowNoise:
    """The noise of each row of a step, None where it is decoded greedily, and its tokens' positions (B, T)."""

    rows: Sequence[Noise | None] = ()
    positions: Ids | None = None

    def at(self, row: int, column: int) -> Callable[[Floats, Ids | None], Floats] | None:
        """What perturbs the scores after this token."""
        noise = self.rows[row] if len(self.rows) else None
        if noise is None or self.positions is None:
            return None
        return partial(perturb, noise, int(self.positions[row, column]))


NO_NOISE = RowNoise()
# Ids share a generator by blocks of this many: a choice among few is not to cost a draw for every id there is.
_BLOCK = 1024


def perturb(noise: Noise, position: int, scores: Floats, ids: Ids | None) -> Floats:
    """Scores (K,) of `ids`, or (V,) of all, after the token at `position` -> perturbed, (K,) or (V,)."""
    wanted = np.arange(len(scores)) if ids is None else ids
    blocks = wanted // _BLOCK
    uniform = np.empty(len(wanted))
    for block in np.unique(blocks):
        drawn = np.random.default_rng((noise.seed, position, int(block))).random(_BLOCK)
        uniform[blocks == block] = drawn[wanted[blocks == block] % _BLOCK]
    # 0 is drawn once in 2^53 times, and its Gumbel is -inf: not chosen.
    with np.errstate(divide="ignore"):
        return (scores / noise.temperature - np.log(-np.log(uniform))).astype(np.float32)


def choose(head: Head, hidden: Floats, counts: Ids, allowed: Allowed | None, noise: RowNoise = NO_NOISE) -> Ids:
    """The choice (B, T) after each of the first counts[b] states of hidden (B, T, C); 0 past them.

    Without noise among permitted ids by `greedy_choice`, else the highest score. A set of one is not scored.
    """
    chosen = np.zeros(hidden.shape[:2], np.int64)
    free: list[tuple[int, int]] = []
    for row, count in enumerate(counts):
        for column in range(int(count)):
            ids = None if allowed is None else allowed[row][column]
            if ids is not None and len(ids) == 1:
                chosen[row, column] = ids[0]
            elif (draw := noise.at(row, column)) is not None:
                chosen[row, column] = _sample(head, hidden[row, column], ids, draw)
            elif ids is None:
                free.append((row, column))
            else:
                chosen[row, column] = _best(head, hidden[row, column], ids)
    if free:
        where = tuple(np.asarray(free).T)
        chosen[where] = head.best(hidden[where])
    return chosen


def _best(head: Head, state: Floats, ids: Ids) -> int:
    assert len(ids), "an empty set of permitted ids leaves nothing to choose"
    return greedy_choice(ids, head.scores(state[None], ids)[0])


def _sample(head: Head, state: Floats, ids: Ids | None, draw: Callable[[Floats, Ids | None], Floats]) -> int:
    best = int(draw(head.scores(state[None], ids)[0], ids).argmax())
    return best if ids is None else int(ids[best])


def greedy_choice(ids: Ids, scores: Floats) -> int:
    """The one of `ids` (K,) whose score (K,) is highest; the lowest among equals.

    END stands against all the others together: it is chosen where stopping is at least as likely as going on. Alone
    against each of them it would win wherever the net knows that there is more to say, but not which of many sentences
    says it best.
    """
    is_end = ids == END
    if is_end.any() and not is_end.all():
        others = scores[~is_end]
        if scores[is_end][0] >= _log_sum_exp(others):
            return END
        ids, scores = ids[~is_end], others
    return int(ids[scores == scores.max()].min())


def _log_sum_exp(scores: Floats) -> np.floating[Any]:
    highest = scores.max()
    return highest + np.log(np.exp(scores - highest).sum())
