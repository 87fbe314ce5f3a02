"""What the comparison of pretrainings is judged on, and how."""

from pathlib import Path

import numpy as np
import pytest
import torch

from qdts.loadtest import bench_pretraining
from qdts.loadtest.bench_pretraining import OBJECTIVES, Plan, judge, main, split
from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.systems import document_of
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.shipped import find_model
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.config import FitTaskConfig, NetShape
from qdts.models.training.dataset import ExampleSet, write_examples
from qdts.models.training.examples import make_example
from qdts.models.training.run import fresh_net
from qdts.models.training.similarity_task import SimilarityTask


@pytest.fixture
def model() -> Path:
    directory = find_model("")
    assert directory is not None
    return directory


@pytest.fixture
def data(tmp_path: Path, model: Path) -> Path:
    tokenizer, lexicon = Tokenizer.load(model / "tokenizer.json"), Lexicon.load(model / "lexicon.safetensors")
    builder = PromptBuilder(tokenizer, lexicon, PromptConfig())
    rows = sorted(load_row_file(), key=lambda row: len(row.document))[:24]
    made = [make_example(builder, row.query, document_of(row), row.references[0]) for row in rows]
    write_examples((example for example in made if example is not None), tmp_path / "data")
    return tmp_path / "data"


def test_what_is_judged_was_not_trained_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_pretraining, "_NUM_JUDGED", 5)
    split(data, tmp_path)
    judged, trained = ExampleSet(tmp_path / "judged"), ExampleSet(tmp_path / "train")
    assert len(judged) == 5 and len(judged) + len(trained) == len(ExampleSet(data))


def test_the_judge_counts_rows(data: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_pretraining, "_NUM_JUDGED", 7)
    split(data, tmp_path)
    net = fresh_net(model, NetShape(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_decoder_layers=1, num_heads=2))
    plan = Plan(
        start=tmp_path,
        shards=tmp_path,
        train=tmp_path / "train",
        judged=tmp_path / "judged",
        out=tmp_path,
        budget=1.0,
        similarity_steps=1,
        num_threads=1,
        seed=0,
    )
    config = FitTaskConfig(data=(plan.judged,), shares=(1.0,), indexed_share=1.0, shifted_share=0.0, tokens_per_batch=1)
    with torch.no_grad():
        task = SimilarityTask(config)
        stream = task.batches()
        rows = [float(task.loss(net, next(stream)).report["similarity_accuracy"]) for _ in range(7)]
    assert judge(net, plan) == pytest.approx(np.mean(rows), abs=1e-4)


def test_budgets_are_shared_out_whole() -> None:
    assert {sum(shares) for shares in OBJECTIVES.values()} == {0.0, 1.0}


def test_nothing_is_measured_without_data(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick"])
    assert "nothing is measured" in capsys.readouterr().out
