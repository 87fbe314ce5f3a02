"""The greedy choice after a token: one rule for every runtime, and for whatever predicts what serving would write.

Shapes: B batch · T tokens of this step · N positions · K options · C hidden · V vocabulary.
"""

from typing import Any, Protocol

import numpy as np

from qdts.models.runtimes.base import Allowed, Floats, Ids
from qdts.models.tokenizer import END


class Head(Protocol):
    """Scores of vocabulary entries at decoder states."""

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        """(N, C) -> (N, len(ids)), or (N, V) where ids is None"""
        ...


def choose(head: Head, hidden: Floats, counts: Ids, allowed: Allowed | None) -> Ids:
    """The greedy choice (B, T) after each of the first counts[b] states of hidden (B, T, C); 0 past them.

    Among permitted ids by `greedy_choice`, else the highest score. A set of one is not scored.
    """
    chosen = np.zeros(hidden.shape[:2], np.int64)
    free: list[tuple[int, int]] = []
    for row, count in enumerate(counts):
        for column in range(int(count)):
            ids = None if allowed is None else allowed[row][column]
            if ids is None:
                free.append((row, column))
            else:
                chosen[row, column] = _best(head, hidden[row, column], ids)
    if free:
        where = tuple(np.asarray(free).T)
        chosen[where] = head.scores(hidden[where], None).argmax(-1)
    return chosen


def _best(head: Head, state: Floats, ids: Ids) -> int:
    assert len(ids), "an empty set of permitted ids leaves nothing to choose"
    return int(ids[0]) if len(ids) == 1 else greedy_choice(ids, head.scores(state[None], ids)[0])


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
