"""Preference pairs: of what was written for one prompt, a better and a worse summary, with what the loss needs.

On disk a set of pairs is ragged columns (ragged.py), read row by row. Knows nothing of nets or rewards.
Shapes: S encoder tokens · F features · T tokens of a summary · D its decisions.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdts.models.copy_source import copy_state
from qdts.models.interaction import NUM_TEXT_FEATURES
from qdts.models.prompt import Prompt
from qdts.models.training.candidates import Candidate, Candidates
from qdts.models.training.policy import Walk, walk
from qdts.models.training.ragged import RaggedReader, RaggedWriter, Row

_SIDES = ("chosen", "rejected")
_COLUMNS = {
    "encoder_ids": "uint16",
    "features": "float32",
    "prefix": "uint16",
    **{
        f"{side}_{name}": kind
        for side in _SIDES
        for name, kind in (
            ("tokens", "uint16"),
            ("places", "uint16"),
            ("counts", "uint16"),  # of each decision's options
            ("options", "uint16"),  # all on end
            ("numbers", "float64"),  # log-probability under the reference, reward
        )
    },
}
# Rows are sorted by length inside windows, so that a batch pads little and the order stays random.
_WINDOW = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PairConfig:
    """The best candidate against a worse one: the worst, or any whose reward is lower by `min_gap` or more."""

    min_gap: float = 0.1
    rejected: Literal["worst", "random"] = "random"

    def __post_init__(self) -> None:
        if not 0 < self.min_gap <= 1:
            raise ValueError(f"min_gap must lie in (0, 1], is {self.min_gap}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One side of a pair. `log_prob` is the frozen reference's."""

    walk: Walk
    log_prob: float
    reward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A prompt's arrays and its two summaries."""

    encoder_ids: npt.NDArray[Any]
    features: npt.NDArray[Any]
    prefix: npt.NDArray[Any]
    chosen: Judged
    rejected: Judged


def choose_pair(
    candidates: Sequence[Candidate], config: PairConfig, rng: random.Random
) -> tuple[Candidate, Candidate] | None:
    """The best candidate, the first among equals, and a worse one; None where the gap is too small."""
    best = max(candidates, key=lambda candidate: candidate.reward)
    worse = [candidate for candidate in candidates if best.reward - candidate.reward >= config.min_gap]
    if not worse:
        return None
    if config.rejected == "random":
        return best, rng.choice(worse)
    return best, min(worse, key=lambda candidate: candidate.reward)


def write_pairs(
    directory: Path,
    rows: Iterable[tuple[Prompt, Candidates]],
    config: PairConfig,
    *,
    trims: bool,
    seed: int,
    about: Mapping[str, Any],
) -> int:
    """One pair for each row that gives one; returns their number. The directory appears once it is whole.

    `about` is kept with them, to be compared when they are found again.
    """
    rng = random.Random(seed)
    count = 0
    with RaggedWriter(directory, _COLUMNS, about) as writer:
        for prompt, candidates in rows:
            found = choose_pair(candidates.candidates, config, rng)
            if found is not None:
                writer.append(_row(prompt, found, trims=trims))
                count += 1
    return count


def _row(prompt: Prompt, pair: tuple[Candidate, Candidate], *, trims: bool) -> Row:
    state = copy_state(prompt, trims=trims)
    row: dict[str, npt.NDArray[Any]] = {
        "encoder_ids": prompt.encoder_ids,
        "features": prompt.features.reshape(-1),
        "prefix": prompt.prefix,
    }
    for side, candidate in zip(_SIDES, pair, strict=True):
        found = walk(state, candidate.tokens)
        row |= {
            f"{side}_tokens": found.tokens,
            f"{side}_places": found.places,
            f"{side}_counts": np.array([len(options) for options in found.options]),
            f"{side}_options": np.concatenate([np.zeros(0, np.int64), *found.options]),
            f"{side}_numbers": np.array([candidate.log_prob, candidate.reward]),
        }
    return row


class PairSet(Sequence[Pair]):
    """A set of pairs on disk."""

    def __init__(self, directory: Path) -> None:
        self._rows = RaggedReader(directory)
        self.about = self._rows.about
        self.encoder_lens = self._rows.lengths["encoder_ids"]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        row = self._rows[index]
        return Pair(
            encoder_ids=row["encoder_ids"].astype(np.int64),
            features=row["features"].reshape(-1, NUM_TEXT_FEATURES),
            prefix=row["prefix"].astype(np.int64),
            chosen=_judged(row, "chosen"),
            rejected=_judged(row, "rejected"),
        )

    def gaps(self) -> list[float]:
        """By how much the chosen summary's reward is higher, pair by pair."""
        sides = [[self._rows[index][f"{side}_numbers"][1] for side in _SIDES] for index in range(len(self))]
        return [float(chosen - rejected) for chosen, rejected in sides]

    def batches(self, tokens_per_batch: int, seed: int, first: int = 0) -> Iterator[list[Pair]]:
        """An endless, seeded stream of pairs of like length, at most so many padded encoder tokens together.

        `first` batches are left out without being read.
        """
        for group in islice(self._stream(tokens_per_batch, seed), first, None):
            yield [self[row] for row in group]

    def _stream(self, tokens_per_batch: int, seed: int) -> Iterator[list[int]]:
        rng = np.random.default_rng(seed)
        while True:
            order = rng.permutation(len(self))
            for first in range(0, len(order), _WINDOW):
                groups = self._groups(order[first : first + _WINDOW].tolist(), tokens_per_batch)
                for index in rng.permutation(len(groups)).tolist():
                    yield groups[index]

    def _groups(self, rows: list[int], tokens_per_batch: int) -> list[list[int]]:
        groups: list[list[int]] = []
        for row in sorted(rows, key=lambda row: int(self.encoder_lens[row])):
            # Sorted: the newest is the longest.
            if not groups or (len(groups[-1]) + 1) * int(self.encoder_lens[row]) > tokens_per_batch:
                groups.append([])
            groups[-1].append(row)
        return groups


def _judged(row: Row, side: str) -> Judged:
    ends = np.cumsum(row[f"{side}_counts"].astype(np.int64))
    options = row[f"{side}_options"].astype(np.int64)
    log_prob, reward = row[f"{side}_numbers"].tolist()
    found = Walk(
        tokens=row[f"{side}_tokens"].astype(np.int64),
        places=row[f"{side}_places"].astype(np.int64),
        options=tuple(np.split(options, ends[:-1])) if len(ends) else (),
    )
    return Judged(walk=found, log_prob=log_prob, reward=reward)
