"""Examples on disk and in batches. Arrays are memory-mapped: a data set may be larger than the memory.

On disk a data set is a directory: for each ragged column `NAME.npy` (all rows on end) and `NAME_len.npy`,
`head.npy`, and `weight.npy` where the rows do not count alike.
Shapes: B batch · S encoder tokens · T decoder tokens · F features.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdts.models.runtimes.batching import pad_floats, pad_ids
from qdts.models.tokenizer import END, HINT, NONE, NUM_MARKERS, is_marker
from qdts.models.training.array_file import ArrayFile
from qdts.models.training.config import FitTaskConfig
from qdts.models.training.examples import Example
from qdts.models.training.reading import pad_queries

_COLUMNS = ("enc", "feat", "prefix", "target")
_WEIGHT = "weight.npy"
# The column of the features that says where sentences begin
_IS_SENTENCE_MARKER = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainBatch:
    """Padded arrays: ids and mask (B, S), text features (B, S, F); queries and query_mask (B, Q); tokens, labels and
    weights (B, T)."""

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]
    features: npt.NDArray[np.float32]
    queries: npt.NDArray[np.int64]
    query_mask: npt.NDArray[np.bool_]
    tokens: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


def write_examples(examples: Iterable[Example], directory: Path) -> int:
    """Write a data set, holding one row at a time in memory; returns the number of rows."""
    rows = iter(examples)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{directory}: no examples to write")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _WEIGHT).unlink(missing_ok=True)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(ArrayFile(directory / f"{name}.npy", array.dtype, *array.shape[1:]))
            for name, array in _columns(first).items()
        }
        lengths = {name: stack.enter_context(ArrayFile(directory / f"{name}_len.npy", np.int64)) for name in _COLUMNS}
        head = stack.enter_context(ArrayFile(directory / "head.npy", np.int64))
        weights = array("d")
        for row in chain([first], rows):
            for name, values in _columns(row).items():
                files[name].append(values)
                lengths[name].append(np.array([len(values)]))
            head.append(np.array([row.head_len]))
            weights.append(row.weight)
    if any(weight != 1.0 for weight in weights):
        np.save(directory / _WEIGHT, np.array(weights, np.float32))
    return len(weights)


def _columns(row: Example) -> dict[str, npt.NDArray[Any]]:
    return dict(zip(_COLUMNS, (row.encoder_ids, row.features, row.prefix, row.target), strict=True))


class ExampleSet:
    """One data set, read through the page cache."""

    def __init__(self, directory: Path) -> None:
        self._data = {name: np.load(directory / f"{name}.npy", mmap_mode="r") for name in _COLUMNS}
        lengths = {name: np.load(directory / f"{name}_len.npy") for name in _COLUMNS}
        self._starts = {name: np.concatenate([[0], np.cumsum(length)]) for name, length in lengths.items()}
        self._head = np.load(directory / "head.npy")
        weight = directory / _WEIGHT
        self._weight = np.load(weight) if weight.is_file() else np.ones(len(self._head), np.float32)
        if len(self._weight) != len(self._head):
            raise ValueError(f"{weight}: {len(self._weight)} weights for {len(self._head)} examples")
        self.encoder_lens: npt.NDArray[np.int64] = lengths["enc"]

    def __len__(self) -> int:
        return len(self._head)

    def __getitem__(self, index: int) -> Example:
        columns: dict[str, npt.NDArray[Any]] = {
            name: self._data[name][self._starts[name][index] : self._starts[name][index + 1]] for name in _COLUMNS
        }
        return Example(
            encoder_ids=columns["enc"],
            features=columns["feat"],
            head_len=int(self._head[index]),
            prefix=columns["prefix"],
            target=columns["target"],
            weight=float(self._weight[index]),
        )


def batches(sets: Sequence[ExampleSet], config: FitTaskConfig, first: int = 0) -> Iterator[TrainBatch]:
    """An endless, seeded stream of batches of at most `tokens_per_batch` padded encoder tokens each.

    `first` batches are left out without being made: what a batch draws depends on its number alone.
    """
    for number, group in enumerate(islice(_groups(sets, config), first, None), first):
        rng = np.random.default_rng((config.seed, 1, number))
        yield collate([sets[which][row] for which, row in group], config, rng)


def _groups(sets: Sequence[ExampleSet], config: FitTaskConfig) -> Iterator[list[tuple[int, int]]]:
    """Batches as sets and rows, epoch after epoch."""
    for epoch in count():
        rng = np.random.default_rng((config.seed, 0, epoch))
        order = _epoch(sets, config.shares, rng)
        if not len(order):
            raise ValueError(f"shares {config.shares} of {[len(data) for data in sets]} rows leave nothing to train on")
        yield from _length_groups(order, sets, config.tokens_per_batch, rng)


def _epoch(sets: Sequence[ExampleSet], shares: Sequence[float], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(N, 2) of set and row: each set read `share` times, shuffled."""
    parts: list[npt.NDArray[np.int64]] = []
    for which, (data, share) in enumerate(zip(sets, shares, strict=True)):
        readings = [rng.permutation(len(data)) for _ in range(int(np.ceil(share)))]
        rows = np.concatenate([np.zeros(0, np.int64), *readings])[: int(share * len(data))]
        parts.append(np.stack([np.full(len(rows), which), rows], axis=1))
    return rng.permutation(np.concatenate(parts))


def _length_groups(
    order: npt.NDArray[np.int64], sets: Sequence[ExampleSet], budget: int, rng: np.random.Generator
) -> Iterator[list[tuple[int, int]]]:
    """Groups of rows of like length, sorted inside windows of rows so that the order stays random."""
    window = 2048
    for first in range(0, len(order), window):
        rows = [(int(which), int(row)) for which, row in order[first : first + window]]
        rows.sort(key=lambda pair: int(sets[pair[0]].encoder_lens[pair[1]]))
        groups: list[list[tuple[int, int]]] = [[]]
        for pair in rows:
            longest = int(sets[pair[0]].encoder_lens[pair[1]])
            if groups[-1] and (len(groups[-1]) + 1) * longest > budget:
                groups.append([])
            groups[-1].append(pair)
        for index in rng.permutation(len(groups)):
            yield groups[index]


def collate(examples: Sequence[Example], config: FitTaskConfig, rng: np.random.Generator) -> TrainBatch:
    """Pad examples to one batch; chance decides which lose the query, the hints, or their markers' numbers."""
    examples = [shift_markers(row, rng) if rng.random() < config.shifted_share else row for row in examples]
    if config.unaided_share:
        examples = [without_aids(row) if rng.random() < config.unaided_share else row for row in examples]
    cuts = [row.head_len if rng.random() < config.indexed_share else 0 for row in examples]
    decoder = [np.concatenate([row.prefix, row.target]).astype(np.int64) for row in examples]
    features = [row.features[cut:] for row, cut in zip(examples, cuts, strict=True)]
    ids, mask = pad_ids([row.encoder_ids[cut:] for row, cut in zip(examples, cuts, strict=True)])
    queries, query_mask = pad_queries([row.prefix for row in examples])
    return TrainBatch(
        ids=ids,
        mask=mask,
        features=pad_floats(features, axis=0).astype(np.float32),
        queries=queries,
        query_mask=query_mask,
        tokens=pad_ids([row[:-1] for row in decoder])[0],
        labels=pad_ids([row[1:] for row in decoder])[0],
        weights=pad_floats([_weights(row, config, rng) for row in examples], axis=0),
    )


def shift_markers(row: Example, rng: np.random.Generator) -> Example:
    """The same example with its sentences numbered from a random one instead of from 0."""
    num_sentences = int(np.count_nonzero(is_marker(row.encoder_ids)))
    shift = int(rng.integers(0, NUM_MARKERS - num_sentences + 1))
    columns = {
        name: (ids + shift * is_marker(ids)).astype(np.uint16)
        for name, ids in (("encoder_ids", row.encoder_ids), ("prefix", row.prefix), ("target", row.target))
    }
    return replace(row, **columns)


def without_aids(row: Example) -> Example:
    """The same example without hints, and of its text features the one that stands at markers alone."""
    hint = int(np.flatnonzero(row.prefix == HINT)[0])
    features = np.zeros_like(row.features)
    features[:, _IS_SENTENCE_MARKER] = row.features[:, _IS_SENTENCE_MARKER]
    return replace(row, prefix=np.concatenate([row.prefix[: hint + 1], row.prefix[-1:]]), features=features)


def _weights(row: Example, config: FitTaskConfig, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Loss weight of each label: nothing for the prefix, then by what the token decides."""
    target = row.target.astype(np.int64)
    weights = (rng.random(len(target)) < config.copied_share).astype(np.float32) * config.copied_weight
    weights[is_marker(target) | (target == NONE)] = config.marker_weight
    weights[target == END] = config.end_weight
    return np.concatenate([np.zeros(len(row.prefix) - 1, np.float32), weights * np.float32(row.weight)])
