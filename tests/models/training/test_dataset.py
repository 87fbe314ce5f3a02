"""Data sets are read as they were written; batches keep their budget and repeat with their seed."""

import weakref
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from qdts.models.tokenizer import DOCUMENT, END, FIRST_MARKER, NONE, QUERY, TITLE, Tokenizer, is_marker
from qdts.models.training.config import FitTaskConfig
from qdts.models.training.dataset import (
    ExampleSet,
    TrainBatch,
    batches,
    collate,
    shift_markers,
    without_aids,
    write_examples,
)
from qdts.models.training.examples import Example

BUDGET = 1_024


@pytest.fixture
def config(data_dir: Path) -> FitTaskConfig:
    return FitTaskConfig(data=(data_dir,), shares=(1.0,), tokens_per_batch=BUDGET)


def same(left: object, right: object, cls: type) -> bool:
    return all(np.array_equal(getattr(left, f.name), getattr(right, f.name)) for f in fields(cls))


def read(data: ExampleSet, config: FitTaskConfig, count: int) -> list[TrainBatch]:
    return list(islice(batches([data], config), count))


def test_written_and_read(data: ExampleSet, examples: list[Example]) -> None:
    assert len(data) == len(examples)
    assert data.encoder_lens.tolist() == [len(example.encoder_ids) for example in examples]
    for index, example in enumerate(examples):
        assert same(data[index], example, Example)


def test_nothing_to_write_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no examples to write"):
        write_examples([], tmp_path / "empty")


def test_rows_are_written_as_they_come(examples: list[Example], tmp_path: Path) -> None:
    """No more than one of them is held: each is gone when the next is asked for."""
    alive: list[weakref.ref[Example]] = []

    def make() -> Iterator[Example]:
        for example in examples[:10]:
            row = WeakExample(**{f.name: getattr(example, f.name) for f in fields(Example)})
            assert sum(ref() is not None for ref in alive) <= 2
            alive.append(weakref.ref(row))
            yield row
            del row

    assert write_examples(make(), tmp_path / "set") == 10
    assert len(ExampleSet(tmp_path / "set")) == 10


class WeakExample(Example):
    """One that can be watched."""

    __slots__ = ("__weakref__",)


def test_a_teachers_confidence_is_kept_and_weighs(
    examples: list[Example], config: FitTaskConfig, tmp_path: Path
) -> None:
    confident = [replace(row, weight=0.25 * (1 + index)) for index, row in enumerate(examples[:3])]
    write_examples(confident, tmp_path / "weighted")
    read_back = ExampleSet(tmp_path / "weighted")
    assert [read_back[index].weight for index in range(3)] == [0.25, 0.5, 0.75]
    plain = collate(examples[:3], config, np.random.default_rng(0)).weights
    weighted = collate([read_back[index] for index in range(3)], config, np.random.default_rng(0)).weights
    assert np.allclose(weighted, plain * np.array([[0.25], [0.5], [0.75]], np.float32))


def test_rows_that_count_alike_have_no_file_of_weights(examples: list[Example], tmp_path: Path) -> None:
    """Nor does an older one stay behind."""
    for weight, exists in ((0.5, True), (1.0, False)):
        write_examples([replace(examples[0], weight=weight)], tmp_path / "set")
        assert (tmp_path / "set" / "weight.npy").exists() == exists
        assert ExampleSet(tmp_path / "set")[0].weight == weight


def test_weights_of_other_rows_are_refused(examples: list[Example], tmp_path: Path) -> None:
    write_examples(examples[:2], tmp_path / "set")
    np.save(tmp_path / "set" / "weight.npy", np.ones(3, np.float32))
    with pytest.raises(ValueError, match="3 weights for 2 examples"):
        ExampleSet(tmp_path / "set")


def test_batches_keep_their_budget(data: ExampleSet, config: FitTaskConfig) -> None:
    assert data.encoder_lens.max() <= BUDGET
    read_batches = read(data, config, 30)
    assert all(batch.ids.size <= BUDGET for batch in read_batches)
    assert max(len(batch.ids) for batch in read_batches) > 1


def test_an_example_longer_than_the_budget_stands_alone(data: ExampleSet, config: FitTaskConfig) -> None:
    for batch in read(data, replace(config, tokens_per_batch=1), 5):
        assert len(batch.ids) == 1


def test_batches_repeat_with_their_seed(data: ExampleSet, config: FitTaskConfig) -> None:
    first, again = read(data, config, 8), read(data, config, 8)
    assert all(same(a, b, TrainBatch) for a, b in zip(first, again, strict=True))
    other = read(data, replace(config, seed=1), 8)
    assert not all(same(a, b, TrainBatch) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("first", [1, 7, 40])
def test_skipped_batches_change_nothing_after_them(data: ExampleSet, config: FitTaskConfig, first: int) -> None:
    """The fortieth is in a later epoch."""
    skipped = list(islice(batches([data], config, first), 3))
    assert all(same(a, b, TrainBatch) for a, b in zip(skipped, read(data, config, first + 3)[first:], strict=True))


def test_an_epoch_reads_every_example_once(data: ExampleSet, config: FitTaskConfig) -> None:
    config = replace(config, indexed_share=0.0, shifted_share=0.0)
    seen: list[bytes] = []
    stream = batches([data], config)
    while len(seen) < len(data):
        batch = next(stream)
        seen += [row[mask].tobytes() for row, mask in zip(batch.ids, batch.mask, strict=True)]
    assert sorted(seen) == sorted(data[i].encoder_ids.astype(np.int64).tobytes() for i in range(len(data)))


@pytest.mark.parametrize(("share", "readings"), [(0.5, 0.5), (2.5, 2.5)])
def test_a_share_says_how_often_a_set_is_read(
    data: ExampleSet, config: FitTaskConfig, share: float, readings: float
) -> None:
    """Two sets, one of them read fully: the other's part of an epoch is its share."""
    config = replace(config, data=config.data * 2, shares=(share, 0.0), indexed_share=0.0, shifted_share=0.0)
    stream, expected = batches([data, data], config), int(readings * len(data))
    num_rows, last = 0, np.zeros(0)
    while num_rows < expected:
        last = next(stream).ids
        num_rows += len(last)
    assert num_rows == expected


def test_shares_that_leave_nothing_are_an_error(data: ExampleSet, config: FitTaskConfig) -> None:
    with pytest.raises(ValueError, match="leave nothing to train on"):
        next(batches([data], replace(config, shares=(0.0,))))


def test_rows_are_padded_and_labels_are_the_next_tokens(examples: list[Example], config: FitTaskConfig) -> None:
    config = replace(config, indexed_share=0.0, shifted_share=0.0, copied_share=1.0)
    batch = collate(examples[:4], config, np.random.default_rng(0))
    for row, example in enumerate(examples[:4]):
        size, prefix_len = len(example.encoder_ids), len(example.prefix)
        assert batch.ids[row, :size].tolist() == example.encoder_ids.tolist()
        assert batch.mask[row].sum() == size and not batch.ids[row, size:].any()
        assert np.array_equal(batch.features[row, :size], example.features.astype(np.float32))
        decoder = [*example.prefix.tolist(), *example.target.tolist()]
        assert batch.tokens[row, : len(decoder) - 1].tolist() == decoder[:-1]
        assert batch.labels[row, : len(decoder) - 1].tolist() == decoder[1:]
        weights = batch.weights[row]
        assert not weights[: prefix_len - 1].any() and not weights[len(decoder) - 1 :].any()
        scored = weights[prefix_len - 1 : len(decoder) - 1]
        assert (scored[is_marker(example.target)] == config.marker_weight).all()
        assert scored[-1] == config.end_weight
        assert (scored[:-1][~is_marker(example.target[:-1])] == config.copied_weight).all()


def test_a_share_of_the_copied_tokens_counts(examples: list[Example], config: FitTaskConfig) -> None:
    batch = collate(examples, replace(config, copied_share=0.3), np.random.default_rng(0))
    copied = (batch.weights > 0) & ~is_marker(batch.labels) & (batch.labels != END)
    num_copied = sum((~is_marker(example.target)).sum() - 1 for example in examples)
    assert 0.2 < copied.sum() / num_copied < 0.4


def test_indexed_rows_lose_their_query(examples: list[Example], config: FitTaskConfig, tokenizer: Tokenizer) -> None:
    batch = collate(examples, replace(config, indexed_share=1.0, shifted_share=0.0), np.random.default_rng(0))
    assert set(batch.ids[:, 0].tolist()) <= {TITLE, DOCUMENT}
    for row, example in enumerate(examples):
        kept = example.features[example.head_len :].astype(np.float32)
        assert np.array_equal(batch.features[row, : len(kept)], kept)
    half = collate(examples, replace(config, indexed_share=0.5), np.random.default_rng(0))
    assert 0.2 < (half.ids[:, 0] == QUERY).mean() < 0.8


def test_shifted_markers_stay_in_range_and_in_step(examples: list[Example]) -> None:
    rng = np.random.default_rng(0)
    shifts: set[int] = set()
    for example in examples * 5:
        shifted = shift_markers(example, rng)
        first = int(shifted.encoder_ids[is_marker(shifted.encoder_ids)][0]) - FIRST_MARKER
        shifts.add(first)
        for name in ("encoder_ids", "prefix", "target"):
            before, after = getattr(example, name).astype(int), getattr(shifted, name)
            assert after.dtype == np.uint16
            assert (after == before + first * is_marker(before)).all()
            assert (is_marker(after) == is_marker(before)).all()
    assert len(shifts) > 20


def test_without_aids_only_the_markers_are_told_apart(examples: list[Example], config: FitTaskConfig) -> None:
    for example in examples:
        bare = without_aids(example)
        assert bare.prefix.tolist() == [x for x in example.prefix.tolist() if not is_marker(np.array([x]))[0]]
        assert (bare.features[:, 9] == is_marker(example.encoder_ids)).all()
        assert not np.delete(bare.features, 9, axis=1).any()
        assert bare.target is example.target
    batch = collate(examples, replace(config, unaided_share=0.5), np.random.default_rng(0))
    aided = [bool(row[:, :9].any()) for row in batch.features]
    assert 0.2 < np.mean(aided) < 0.8


def test_queries_are_those_of_the_prefixes(examples: list[Example], config: FitTaskConfig) -> None:
    batch = collate(examples, replace(config, indexed_share=0.5), np.random.default_rng(0))
    for row, example in enumerate(examples):
        assert batch.queries[row, batch.query_mask[row]].tolist() == example.encoder_ids[: example.head_len].tolist()


def test_saying_that_nothing_answers_counts_like_a_marker(examples: list[Example], config: FitTaskConfig) -> None:
    row = replace(examples[0], target=np.array([NONE, END], np.uint16))
    weights = collate([row], config, np.random.default_rng(0)).weights[0]
    assert weights[weights > 0].tolist() == [config.marker_weight, config.end_weight]
