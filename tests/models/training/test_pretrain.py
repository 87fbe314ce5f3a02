"""Each objective is learned, from a stream that is a function of the seed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qdts.errors import ConfigError
from qdts.models.checkpoint import load
from qdts.models.nets.t5 import T5
from qdts.models.tokenizer import DOCUMENT, PAD
from qdts.models.training.config import LoopConfig, NetShape
from qdts.models.training.data.corpus import SEPARATOR
from qdts.models.training.prefix import PrefixLM
from qdts.models.training.pretrain import PretrainConfig, PretrainTaskConfig, pretrain_task, run_pretrain
from qdts.models.training.sequence import SequenceBatch, SequenceTask, sequence_loss
from qdts.models.training.shards import ShardsConfig, TokenShards, run_shards

SHAPE = NetShape(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_decoder_layers=1, num_heads=2)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The loop sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shards_dir(prose: str, tokenizer_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    (out / "corpus.txt").write_text(f"\n{SEPARATOR}\n".join([prose] * 4))
    run_shards(ShardsConfig(corpus=(out / "corpus.txt",), model=tokenizer_path.parent, out=out))
    return out


@pytest.fixture
def task(shards_dir: Path) -> PretrainTaskConfig:
    return PretrainTaskConfig(shards=shards_dir, rows_per_batch=4, encoder_tokens=32, continuation=12)


def read(config: PretrainTaskConfig, tokenizer: Path, first: int, count: int) -> list[tuple[int, SequenceBatch]]:
    return list(islice(pretrain_task(config, tokenizer).batches_from(first), count))


def same(left: list[tuple[int, SequenceBatch]], right: list[tuple[int, SequenceBatch]]) -> bool:
    return all(
        a == b and all(np.array_equal(getattr(x, n), getattr(y, n)) for n in ("ids", "tokens", "labels"))
        for (a, x), (b, y) in zip(left, right, strict=True)
    )


@pytest.mark.parametrize(("spans", "prefix"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_the_loss_of_each_objective_falls(
    task: PretrainTaskConfig, tokenizer_path: Path, tmp_path: Path, spans: float, prefix: float
) -> None:
    loop = LoopConfig(
        out=tmp_path, num_steps=60, warmup_steps=5, log_every=10, num_threads=1, learning_rate=0.01,
        embedding_rate=0.01, precision="fp32", peak_flops=1e12,
    )  # fmt: skip
    task = replace(task, spans=spans, prefix=prefix)
    run_pretrain(PretrainConfig(model=tokenizer_path.parent, task=task, loop=loop, shape=SHAPE))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for name, share in (("spans", spans), ("prefix", prefix)):
        assert (f"{name}_loss" in rows[0]) == (share > 0)
        if share:
            assert rows[-1][f"{name}_loss"] < 0.8 * rows[0][f"{name}_loss"]
            assert rows[-1][f"{name}_accuracy"] > rows[0][f"{name}_accuracy"]
    assert load(tmp_path / "model").config.d_model == SHAPE.d_model
    assert (tmp_path / "model" / "tokenizer.json").read_bytes() == tokenizer_path.read_bytes()


def test_the_stream_is_a_function_of_the_seed(task: PretrainTaskConfig, tokenizer_path: Path) -> None:
    """Over several epochs, and wherever it is joined."""
    first = read(task, tokenizer_path, 0, 40)
    assert same(first, read(task, tokenizer_path, 0, 40))
    assert same(first[23:], read(task, tokenizer_path, 23, 17))
    assert not same(first, read(replace(task, seed=1), tokenizer_path, 0, 40))
    sizes = {(which, batch.ids.shape, batch.tokens.shape) for which, batch in first}
    assert len(sizes) == 2, "each objective has one size"


def test_an_epoch_reads_every_window_once(shards_dir: Path) -> None:
    shards, objective = TokenShards(shards_dir), PrefixLM(16, 8)
    stream = SequenceTask(shards, objective, rows_per_batch=1, seed=3).batches()
    num_windows = len(shards.window_starts(objective.window, objective.window - 1))
    rows = [np.concatenate([batch.ids[0, 1:], batch.labels[0]]) for batch in islice(stream, num_windows)]
    tokens = shards.read(np.array([0]), shards.num_tokens)[0]
    places = [place for place in range(len(tokens)) for row in rows if np.array_equal(tokens[place:][: len(row)], row)]
    offsets = {place % objective.window for place in places}
    assert len(rows) * objective.window > 0.8 * shards.num_tokens
    assert min(places) in offsets and len({row.tobytes() for row in rows}) > 0.2 * num_windows


def test_a_continuation_follows_what_was_read() -> None:
    windows = np.arange(100, 140).reshape(2, 20)
    batch = PrefixLM(13, 8).make(windows, np.random.default_rng(0))
    assert np.array_equal(np.concatenate([batch.ids[:, 1:], batch.labels], axis=1), windows)
    assert (batch.ids[:, 0] == DOCUMENT).all() and batch.ids.shape == (2, 13)
    assert (batch.tokens[:, 0] == PAD).all() and np.array_equal(batch.tokens[:, 1:], batch.labels[:, :-1])


def test_the_loss_is_that_of_each_row_on_its_own(make_net: Callable[..., T5]) -> None:
    """One mask stands for all rows, and rows see nothing of each other."""
    net = make_net()
    rng = np.random.default_rng(0)
    ids, tokens, labels = (rng.integers(1, 100, (3, size)) for size in (10, 6, 6))
    with torch.no_grad():
        together = sequence_loss(net, SequenceBatch(ids=ids, tokens=tokens, labels=labels))
        alone = [
            sequence_loss(net, SequenceBatch(ids=ids[r : r + 1], tokens=tokens[r : r + 1], labels=labels[r : r + 1]))
            for r in range(3)
        ]
    assert float(together.loss) == pytest.approx(sum(float(one.loss) for one in alone) / 3, rel=1e-5)
    assert together.flops == sum(one.flops for one in alone)
    assert together.num_tokens == 3 * 16


def test_shards_of_another_tokenizer_are_refused(task: PretrainTaskConfig, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="another tokenizer"):
        pretrain_task(task, tmp_path / "tokenizer.json")


def test_too_few_windows_for_a_batch_are_refused(task: PretrainTaskConfig, tokenizer_path: Path) -> None:
    with pytest.raises(ValueError, match="rows_per_batch must be at most the windows of .* tokens in .*, is 9999"):
        pretrain_task(replace(task, rows_per_batch=9999), tokenizer_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spans": -1.0}, "spans must be at least 0, is -1.0"),
        ({"spans": 0.0, "prefix": 0.0}, "spans and prefix must not both be 0"),
        ({"rows_per_batch": 0}, "rows_per_batch must be at least 1, is 0"),
        ({"encoder_tokens": 8}, "encoder_tokens must be at least 16, is 8"),
        ({"encoder_tokens": 4000}, "encoder_tokens must leave 1 to 64 spans of 3.0 tokens, is 4000"),
        ({"noise_density": 0.6}, r"noise_density must lie in \(0, 0.5\], is 0.6"),
        ({"continuation": 0}, "continuation must be at least 1, is 0"),
    ],
)
def test_bad_settings_are_named(task: PretrainTaskConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(task, **changes)
    assert replace(task, spans=0.0, encoder_tokens=4000).encoder_tokens == 4000
