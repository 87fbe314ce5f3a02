"""Every stage of the recipe by its command, one after the other, at toy scale: each starts from what the last wrote.

The rows are the shipped evaluation sample, which nothing here is evaluated on; the encoder starts as the real
all-MiniLM-L6-v2. What each stage does well is tested with the stage.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from qdts.models.document import Document
from qdts.models.evaluation.samples import SAMPLE_V1, load_row_file
from qdts.models.export import explicit
from qdts.models.summarizer import Summarizer, SummarizerConfig
from qdts.models.training.data.corpus import SEPARATOR
from qdts.models.training.stages import STAGES
from qdts.service.cli import main

LOOP = {"warmup_steps": 2, "log_every": 1, "num_threads": 1, "prefetch": 0, "position_bias_every": 2}
GENTLE = LOOP | {"encoder_rate": 2e-4, "embedding_rate": 5e-4, "learning_rate": 1e-3}
ROWS = {"shares": [1.0], "tokens_per_batch": 1024}
SERVED = SummarizerConfig(num_threads=1)
# Two clips in place of fourteen: which is best is for tests/models/export/test_clips.py.
CLIPS = [1.0, 0.8]


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    """The loop sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def toml(value: object) -> str:
    """A value of these configs as TOML writes it: JSON but for tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


class Recipe:
    """A directory in which stages are run, and what each wrote."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.ran: list[str] = []

    def run(self, stage: str, file_name: str = "", **settings: Any) -> None:
        """`qdts train STAGE` with these settings."""
        file = self.out / f"{file_name or stage}.toml"
        file.write_text("".join(f"{key} = {toml(value)}\n" for key, value in settings.items()), encoding="utf-8")
        assert main(["train", stage, "--config", str(file)]) == 0, f"{stage} failed"
        self.ran.append(stage)

    def learn(self, stage: str, start_from: str, num_steps: int, loop: Mapping[str, Any], **settings: Any) -> None:
        """A stage that trains, from the model that an earlier one wrote."""
        loop = {**loop, "out": self.out / stage, "num_steps": num_steps}
        self.run(stage, model=self.out, start_from=self.out / start_from, loop=loop, **settings)

    def losses(self, stage: str) -> list[float]:
        """Of a stage that trains, step by step."""
        lines = (self.out / stage / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def few_clips() -> Iterator[None]:
    """Of the QDQ graphs' weights, too: that stage has no setting for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explicit, "quantize_weight", partial(explicit.quantize_weight, grid=CLIPS))
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, few_clips: None) -> Recipe:
    out = tmp_path_factory.mktemp("recipe")
    rows = load_row_file()
    corpus = out / "prose.txt"
    corpus.write_text(f"\n{SEPARATOR}\n".join(f"{row.title}\n{row.document}" for row in rows), encoding="utf-8")
    asked = out / "rows.jsonl"
    lines = sorted(SAMPLE_V1.read_text(encoding="utf-8").splitlines(), key=len)
    asked.write_text("\n".join(lines[:32]) + "\n", encoding="utf-8")

    recipe = Recipe(out)
    recipe.run("tokenizer", corpus=[corpus], out=out, share=1.0, vocab_size=700)
    recipe.run("lexicon", corpus=[corpus], model=out, share=0.2, embedding_dim=384)
    recipe.run("shards", corpus=[corpus], model=out, out=out / "shards")
    recipe.run(
        "fold", model=out, corpus=[corpus], out=out / "fold", share=1.0, num_documents=12, tokens_per_document=64
    )
    shards = {"shards": out / "shards", "rows_per_batch": 2}
    recipe.learn("features", "fold", 4, GENTLE, task=shards | {"window_tokens": 64})
    recipe.learn("pretrain", "features/model", 4, GENTLE, task=shards | {"encoder_tokens": 64, "continuation": 16})
    sources = [{"paths": [corpus], "licence": "CC BY-SA 3.0"}]
    recipe.run("prepare", "prepare_weak", model=out, out=out / "weak", sources=sources, max_examples=80)
    recipe.learn("similarity", "pretrain/model", 6, GENTLE, task=ROWS | {"data": [out / "weak"]})
    recipe.learn("fit", "similarity/model", 6, GENTLE, task=ROWS | {"data": [out / "weak"]})
    teacher = {"rankers": ["bm25"], "num_trimmed": 0}
    recipe.run("teach", rows=[asked], out=out / "taught.jsonl", builtin=teacher, hold_out=False, progress=False)
    for name, source in (("taught", out / "taught.jsonl"), ("human", asked)):
        sources = [{"paths": [source], "max_lead_share": 1.0, "hold_out": False}]
        recipe.run("prepare", f"prepare_{name}", model=out, out=out / name, sources=sources)
    recipe.learn("distil", "fit/model", 4, GENTLE, task=ROWS | {"data": [out / "taught"]})
    recipe.learn("sft", "distil/model", 6, GENTLE, task=ROWS | {"data": [out / "human"], "unaided_share": 0.2})
    preferred = GENTLE | {"out": out / "dpo", "num_steps": 2, "optimizer": "adamw", "learning_rate": 1e-4}
    start, sampling = out / "sft" / "model", {"num_samples": 3, "temperature": 2.0}
    few = {"held_out": 0.3, "max_prompts": 12, "max_held_out": 4}
    recipe.run("dpo", start_from=start, data=[asked], loop=preferred, sampling=sampling, **few)
    recipe.run("average", models=[out / "dpo" / "model", start], out=out / "average")
    model, calibration = out / "average", {"num_rows": 2, "num_threads": 1}
    recipe.run("export", model=model)
    recipe.run("quantize", model=model, calibration=calibration, grid=CLIPS)
    recipe.run("explicit", model=model, calibration=calibration, formats=["int8_qdq"])
    recipe.run("release", model=model, out=out / "toy", name="toy", version="0", sample_rows=1)
    return recipe


def test_every_stage_has_a_part(recipe: Recipe) -> None:
    # engines needs TensorRT: tests/models/export/test_engines.py
    assert set(recipe.ran) == set(STAGES) - {"engines"}


@pytest.mark.parametrize("stage", ["features", "pretrain", "similarity", "fit", "distil", "sft"])
def test_the_loss_falls(recipe: Recipe, stage: str) -> None:
    losses = recipe.losses(stage)
    half = len(losses) // 2
    assert sum(losses[-half:]) < sum(losses[:half])


def test_the_release_answers_with_the_documents_words(recipe: Recipe) -> None:
    summarizer = Summarizer.load(recipe.out / "toy", SERVED)
    text = "The mill stands by the river. It was built in 1820. Nobody lives there."
    prompt = summarizer.prepare("When was the mill built?", Document(text=text), max_words=20)
    generation = summarizer.start([prompt])
    while generation.active:
        generation.step()
    sentences = generation.summary(0).sentences
    assert sentences
    assert all(sentence.source and sentence.source.of(text) == sentence.text for sentence in sentences)
