"""The whole recipe at toy scale, from raw text to a summary by the released model."""

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from qdts.models.document import Document
from qdts.models.evaluation.samples import load_row_file
from qdts.models.manifest import verify
from qdts.models.settings import Copying, ModelSettings
from qdts.models.shipped import find_model
from qdts.models.summarizer import Summarizer, SummarizerConfig
from qdts.models.training.config import FitConfig, FitTaskConfig, LoopConfig, NetShape
from qdts.models.training.data.config import PrepareConfig, Source
from qdts.models.training.data.corpus import SEPARATOR, read_documents, sample_documents
from qdts.models.training.stages import (
    STAGES,
    LexiconConfig,
    ReleaseConfig,
    TokenizerConfig,
    run_lexicon,
    run_prepare,
    run_release,
    run_tokenizer,
)

RECIPES = Path(__file__).parents[3] / "models" / "training" / "recipes"
SHAPE = NetShape(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_decoder_layers=1, num_heads=2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents of the evaluation sample as raw prose: nothing here is ever evaluated on."""
    path = tmp_path_factory.mktemp("corpus") / "prose.txt"
    documents = [f"{row.title}\n{row.document}" for row in load_row_file()]
    path.write_text(f"\n{SEPARATOR}\n".join(documents), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory after every stage but the release."""
    out = tmp_path_factory.mktemp("run")
    run_tokenizer(TokenizerConfig(corpus=(corpus,), out=out, share=1.0, vocab_size=700))
    run_lexicon(LexiconConfig(corpus=(corpus,), model=out, share=0.2, embedding_dim=SHAPE.d_model))
    sources = (Source(paths=(corpus,), licence="CC BY-SA 3.0"),)
    run_prepare(PrepareConfig(model=out, out=out / "data", sources=sources, max_examples=150))
    task = FitTaskConfig(data=(out / "data",), shares=(1.0,), tokens_per_batch=1024)
    loop = LoopConfig(
        out=out / "fit", num_steps=50, warmup_steps=5, log_every=5, num_threads=1, precision="fp32", peak_flops=1e12
    )
    STAGES["fit"].run(FitConfig(model=out, task=task, loop=loop, shape=SHAPE))
    return out


def test_corpus_is_read_document_by_document(corpus: Path) -> None:
    documents = list(read_documents(corpus))
    assert len(documents) == len(load_row_file())
    assert all(SEPARATOR not in document for document in documents)
    assert len(list(sample_documents((corpus,), 1.0, seed=0))) == len(documents)
    assert 0 < len(list(sample_documents((corpus,), 0.5, seed=0))) < len(documents)


def test_loss_falls_and_is_drawn(trained: Path) -> None:
    rows = [json.loads(line) for line in (trained / "fit" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(5, 55, 5))
    assert sum(row["loss"] for row in rows[-3:]) < 0.9 * sum(row["loss"] for row in rows[:3])
    assert (trained / "fit" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_release_loads_and_answers_with_the_documents_words(trained: Path, tmp_path: Path) -> None:
    release = ReleaseConfig(
        model=trained / "fit" / "model", out=tmp_path / "toy", name="toy", version="0", sample_rows=2
    )
    run_release(release)
    summarizer = Summarizer.load(release.out, SummarizerConfig(num_threads=1))
    assert summarizer.version.startswith("toy@")
    text = "The mill stands by the river. It was built in 1820. Nobody lives there."
    prompt = summarizer.prepare("When was the mill built?", Document(text=text), max_words=20)
    generation = summarizer.start([prompt])
    while generation.active:
        generation.step()
    summary = generation.summary(0)
    assert summary.sentences
    assert all(sentence.source and sentence.source.of(text) == sentence.text for sentence in summary.sentences)


def test_a_release_keeps_the_models_settings(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "fit" / "model", tmp_path / "model")
    trims = ModelSettings(copying=Copying(trims=True))
    trims.save(tmp_path / "model")
    release = ReleaseConfig(model=tmp_path / "model", out=tmp_path / "toy", name="toy", version="0", sample_rows=0)
    run_release(release)
    assert ModelSettings.load(release.out) == trims
    assert "qdts.json" in verify(release.out).files
    run_release(replace(release, model=trained / "fit" / "model"))
    assert "qdts.json" not in verify(release.out).files


def test_evaluation_documents_count_as_contaminated(corpus: Path) -> None:
    """The corpus here is the evaluation sample itself."""
    from qdts.models.evaluation.contamination import Contamination

    contamination = Contamination(load_row_file())
    assert all(contamination.is_contaminated("", document) for document in read_documents(corpus))


def test_recipes_are_configs_of_their_stages() -> None:
    from qdts.service.commands.train import read_config

    kinds = {"weak": "prepare", "human": "prepare", "taught": "prepare", "fit_weak": "fit", "fit_human": "fit"}
    kinds |= {path.stem: "prepare" for path in RECIPES.glob("data/*.toml")} | {"sft_more": "sft"}
    files = sorted(RECIPES.glob("*/*.toml"))
    assert files
    for path in files:
        assert tomllib.loads(path.read_text(encoding="utf-8"))
        stage = STAGES[kinds.get(path.stem, path.stem)]
        assert isinstance(read_config(path, stage.config), stage.config)


def test_a_model_ships() -> None:
    assert find_model("") is not None
