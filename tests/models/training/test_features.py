"""Words of two tokenizers are put side by side, and the states of the one come nearer to the other's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from qdts.models.evaluation.samples import load_row_file
from qdts.models.nets.config import T5Config
from qdts.models.nets.t5 import T5
from qdts.models.tokenizer import DOCUMENT, SPECIAL_TOKENS, Tokenizer
from qdts.models.training.data.corpus import SEPARATOR
from qdts.models.training.features import FeatureBatch, FeatureNet, FeatureTask, feature_loss, mark_sentences
from qdts.models.training.minilm import load_minilm
from qdts.models.training.shards import ShardsConfig, TokenShards, run_shards
from qdts.models.training.windows import WindowStream

WINDOW = 48
SHIPPED = Path(__file__).parents[3] / "models" / "weights"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> FeatureTask:
    out = tmp_path_factory.mktemp("features")
    prose = out / "prose.txt"
    prose.write_text(f"\n{SEPARATOR}\n".join(row.document for row in load_row_file()[:20]), encoding="utf-8")
    model = next(SHIPPED.glob("*/tokenizer.json")).parent
    run_shards(ShardsConfig(corpus=(prose,), model=model, out=out / "shards"))
    shards = TokenShards(out / "shards", model / "tokenizer.json")
    stream = WindowStream(shards, window=WINDOW, rows_per_batch=4, seed=0)
    return FeatureTask(shards, Tokenizer.load(model / "tokenizer.json"), load_minilm(), stream)


@pytest.fixture(scope="module")
def batch(task: FeatureTask) -> FeatureBatch:
    return next(task.batches())


def make_net() -> FeatureNet:
    torch.manual_seed(0)
    shape = T5Config(vocab_size=16384, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_decoder_layers=1, num_heads=2)
    return FeatureNet(T5(shape), 384)


def test_a_word_is_the_same_text_on_both_sides(task: FeatureTask, batch: FeatureBatch) -> None:
    tokenizer, pieces = task._tokenizer, task._teacher.tokenizer  # pyright: ignore[reportPrivateUsage]
    compared = 0
    for word in np.unique(batch.words[batch.words >= 0]):
        ours = tokenizer.decode(batch.ids[batch.words == word].tolist()).lower().replace(" ", "")
        theirs = pieces.decode(batch.pieces[batch.piece_words == word]).replace(" ", "")
        if ours.isascii() and theirs and "[unk]" not in theirs.lower():
            compared += 1
            assert ours == theirs
    assert compared > 50


def test_special_tokens_are_of_no_word(batch: FeatureBatch) -> None:
    assert (batch.words[batch.ids < len(SPECIAL_TOKENS)] == -1).all()
    assert (batch.words[batch.ids >= len(SPECIAL_TOKENS)] >= 0).all()


def test_markers_stand_before_sentences() -> None:
    ids = np.arange(100, 110)
    marked = mark_sentences(ids, np.array([0, 4]), np.random.default_rng(0))
    assert marked[0] == DOCUMENT and len(marked) == 13
    assert marked[6] == marked[1] + 1
    assert marked[[2, 3, 4, 5]].tolist() == [100, 101, 102, 103]


def test_the_stream_is_a_function_of_the_seed(task: FeatureTask) -> None:
    stream = task.batches()
    batches = [next(stream) for _ in range(3)]
    assert (next(task.batches_from(2)).ids == batches[2].ids).all()


def test_the_loss_falls(task: FeatureTask, batch: FeatureBatch) -> None:
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses: list[float] = []
    for _ in range(12):
        outcome = task.loss(net, batch)
        outcome.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(outcome.loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    report = feature_loss(net, task._teacher.bert, batch).report  # pyright: ignore[reportPrivateUsage]
    assert set(report) == {"word_error", "word_cosine", "passage_cosine", "similarity_error"}
    assert outcome.num_tokens == np.count_nonzero(batch.ids) and outcome.flops > 0
