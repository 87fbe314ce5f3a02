"""The choice after each token, made where the states are: only ids come back.

The rule is that of runtimes/choice.py; a sample is drawn by its code, on the host.
Shapes: B rows of a step · T states of a row · K places to choose at · C hidden · V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qdts.models.runtimes.base import Allowed, Floats, Ids
from qdts.models.runtimes.choice import Head
from qdts.models.runtimes.cuda.net import CudaNet
from qdts.models.runtimes.cuda.programs import Arrays, FreeChoice, PermittedChoice, Program
from qdts.models.tokenizer import END

# The fewest places and ids that a program is made for.
MIN_PLACES = 8
MIN_IDS = 32

Run = Callable[[tuple[str, int, int], Callable[[], Program], Arrays], Tensor]


class DeviceChooser:
    """Chooses at states (B T, C) that are always at the same place; `run` does the program of a key, made if need be,
    on new inputs, and gives its output."""

    def __init__(self, net: CudaNet, states: Tensor, run: Run) -> None:
        self._net = net
        self._states = states
        self._run = run

    def choose(self, num_states: int, counts: Ids, allowed: Allowed | None) -> Ids:
        """The choice (B, max count) after each of the first counts[b] of row b's T = `num_states` states; 0 past them.

        A set of one is not scored.
        """
        chosen = np.zeros((len(counts), int(counts.max())), np.int64)
        free, listed, lists = list[tuple[int, int]](), list[tuple[int, int]](), list[Ids]()
        for row, column in np.argwhere(np.arange(chosen.shape[1]) < counts[:, None]).tolist():
            ids = None if allowed is None else allowed[row][column]
            if ids is None:
                free.append((row, column))
            elif len(ids) == 1:
                chosen[row, column] = ids[0]
            else:
                listed.append((row, column))
                lists.append(ids)
        if free:
            where = tuple(np.array(free).T)
            chosen[where] = self._among_all(where[0] * num_states + where[1])
        if listed:
            where = tuple(np.array(listed).T)
            chosen[where] = self._among(where[0] * num_states + where[1], lists)
        return chosen

    def _among_all(self, places: Ids) -> Ids:
        """Places (K,) -> ids (K,)"""
        size = _bucket(len(places), MIN_PLACES)
        inputs = {"places": _pad(places, size)}
        out = self._run(("free", size, 0), lambda: FreeChoice(self._net, self._states, size), inputs)
        return out[: len(places)].cpu().numpy()

    def _among(self, places: Ids, lists: Sequence[Ids]) -> Ids:
        """Places (K,) and the ids permitted at each -> ids (K,)"""
        size, num_ids = _bucket(len(places), MIN_PLACES), _bucket(max(map(len, lists)), MIN_IDS)
        permitted = np.full((size, num_ids), END, np.int64)
        counts = np.ones(size, np.int64)
        for row, ids in enumerate(lists):
            assert len(ids), "an empty set of permitted ids leaves nothing to choose"
            permitted[row, : len(ids)], counts[row] = ids, len(ids)
        inputs = {"places": _pad(places, size), "counts": counts, "permitted": permitted}
        key = ("permitted", size, num_ids)
        out = self._run(key, lambda: PermittedChoice(self._net, self._states, size, num_ids), inputs)
        return out[: len(places)].cpu().numpy()


@dataclass(frozen=True, slots=True)
class HostHead(Head):
    """Scores in float32 for whoever draws a sample on the host."""

    net: CudaNet

    def scores(self, hidden: Floats, ids: Ids | None) -> Floats:
        """(N, C) -> (N, len(ids)), or (N, V) where ids is None"""
        weight = self.net.head
        chosen = weight if ids is None else weight[torch.tensor(ids, device=weight.device)]
        states = torch.tensor(hidden, device=weight.device) * self.net.scale
        return (states @ chosen.float().T).cpu().numpy()


def _bucket(count: int, least: int) -> int:
    return max(least, 1 << (count - 1).bit_length())


def _pad(places: Ids, size: int) -> Ids:
    return np.pad(places, (0, size - len(places)))
