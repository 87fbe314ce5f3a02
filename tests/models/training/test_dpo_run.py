"""Preference optimisation from end to end at toy scale: it raises the reward on prompts it has never seen."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qdts.errors import ConfigError
from qdts.models import checkpoint
from qdts.models.evaluation.samples import SAMPLE_V1
from qdts.models.settings import Copying, ModelSettings
from qdts.models.shipped import find_model
from qdts.models.training import dpo_run
from qdts.models.training.candidates import read_candidates
from qdts.models.training.config import LoopConfig, NetShape
from qdts.models.training.dpo import PreferenceConfig
from qdts.models.training.dpo_run import DpoConfig, run_dpo
from qdts.models.training.pairs import PairConfig
from qdts.models.training.reward import RewardConfig
from qdts.models.training.run import fresh_net, write_model
from qdts.models.training.sampling import SamplingConfig

SHAPE = NetShape(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_decoder_layers=1, num_heads=2)
NUM_ROWS = 56


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    """The loop sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DpoConfig:
    """A random net with the shipped tokenizer; a reward that asks for one short sentence before all."""
    directory = tmp_path_factory.mktemp("dpo")
    model = find_model("")
    assert model is not None
    torch.manual_seed(0)
    write_model(fresh_net(model, SHAPE), directory / "start", model)
    # The shortest of the shipped sample.
    lines = sorted(SAMPLE_V1.read_text(encoding="utf-8").splitlines(), key=len)[:NUM_ROWS]
    (directory / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return DpoConfig(
        start_from=directory / "start",
        data=(directory / "rows.jsonl",),
        held_out=0.35,
        loop=LoopConfig(
            out=directory / "out",
            num_steps=20,
            warmup_steps=3,
            optimizer="adamw",
            learning_rate=5e-3,
            embedding_rate=5e-3,
            precision="fp32",
            num_threads=1,
            prefetch=0,
            log_every=4,
        ),
        sampling=SamplingConfig(num_samples=6),
        preference=PreferenceConfig(beta=0.3, tokens_per_batch=4096),
        reward=RewardConfig(length=1.0, max_words=15),
        trims="off",
    )


@pytest.fixture(scope="module")
def report(config: DpoConfig) -> dict[str, Any]:
    run_dpo(config)
    return json.loads((config.loop.out / "dpo.json").read_text())


def test_the_reward_rises_on_prompts_never_seen(report: dict[str, Any]) -> None:
    held_out = report["held_out"]
    assert held_out["num_prompts"] >= 15
    assert held_out["reward_gain"]["mean"] > 0.04
    assert held_out["sampled_reward_gain"]["mean"] > 0.04
    assert held_out["sampled_reward_gain"]["low"] > 0
    assert held_out["win_rate"] > 0.5
    assert 0 < held_out["kl"] < 10
    assert held_out["words_after"] < held_out["words_before"]


def test_the_report_says_how_it_came_about(config: DpoConfig, report: dict[str, Any]) -> None:
    (only,) = report["rounds"]
    assert only["num_pairs"] >= 20 and only["mean_gap"] >= config.pairs.min_gap
    assert only["last"]["step"] == 20
    assert only["last"]["preference_accuracy"] > 0.9 and only["last"]["margin"] > 0
    assert (config.loop.out / "dpo.png").read_bytes().startswith(b"\x89PNG")


def test_it_leaves_a_model_directory(config: DpoConfig, report: dict[str, Any]) -> None:
    model = config.loop.out / "model"
    before, after = checkpoint.load(config.start_from), checkpoint.load(model)
    assert not torch.equal(before.shared.weight, after.shared.weight)
    assert {path.name for path in model.iterdir()} >= {"tokenizer.json", "lexicon.safetensors", "qdts.json"}
    assert not ModelSettings.load(model).copying.trims


def test_held_out_documents_are_not_sampled(config: DpoConfig, report: dict[str, Any]) -> None:
    sampled = list(read_candidates(config.loop.out / "round-1" / "samples.jsonl"))
    assert len(sampled) + report["held_out"]["num_prompts"] == NUM_ROWS


def test_run_again_it_uses_what_is_on_disk(
    config: DpoConfig, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither samples nor pairs are made anew, and no step is taken."""
    monkeypatch.setattr(dpo_run, "write_candidates", None)
    monkeypatch.setattr(dpo_run, "write_pairs", None)
    metrics = config.loop.out / "round-1" / "metrics.jsonl"
    before = metrics.read_text()
    run_dpo(config)
    assert json.loads((config.loop.out / "dpo.json").read_text()) == report
    assert metrics.read_text() == before


def test_other_settings_are_refused(config: DpoConfig, report: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="round-1 was begun with other settings"):
        run_dpo(replace(config, pairs=PairConfig(min_gap=0.2)))


def test_rounds_go_on_from_each_other_and_trimming_is_taught(config: DpoConfig, tmp_path: Path) -> None:
    """The second round samples from the first's model; time runs out before a step in a third."""
    lines = config.data[0].read_text(encoding="utf-8").splitlines()[:8]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    loop = replace(config.loop, out=tmp_path / "out", num_steps=1)
    config = replace(config, data=(tmp_path / "rows.jsonl",), loop=loop, rounds=2, trims="on", max_words=40)
    config = replace(config, pairs=PairConfig(min_gap=0.01))
    run_dpo(config)
    assert len(json.loads((loop.out / "dpo.json").read_text())["rounds"]) == 2
    assert ModelSettings.load(loop.out / "model") == ModelSettings(copying=Copying(trims=True))
    first, second = (
        json.loads((loop.out / name / "samples.jsonl").read_text().split("\n")[0])["about"]
        for name in ("round-1", "round-2")
    )
    assert first["weights"] != second["weights"] and first["trims"] and second["seed"] == first["seed"] + 1
    run_dpo(replace(config, rounds=3, loop=replace(loop, max_minutes=1e-9)))
    assert not (loop.out / "round-3" / "model").exists()


def test_nothing_to_prefer_is_an_error(config: DpoConfig, tmp_path: Path) -> None:
    """A document of one sentence has one summary."""
    row = {"query": "Who?", "doc": "Mary drove the train to Leeds.", "summary": "Mary drove."}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    config = replace(config, data=(path,), loop=replace(config.loop, out=tmp_path / "out"), held_out=1e-9)
    with pytest.raises(ConfigError, match=r"no prompt has two candidates 0.1 apart \(min_gap\)"):
        run_dpo(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ()}, "data must name at least one file"),
        ({"rounds": 0}, "rounds must be at least 1, is 0"),
        ({"max_words": 0}, "max_words must be at least 1, is 0"),
        ({"prompts_per_batch": 0}, "prompts_per_batch must be at least 1, is 0"),
        ({"held_out": 0.0}, r"held_out must lie in \(0, 1\), is 0.0"),
        ({"held_out": 1.0}, r"held_out must lie in \(0, 1\), is 1.0"),
        ({"indexed_share": 1.5}, r"indexed_share must lie in \[0, 1\], is 1.5"),
        ({"sampling": SamplingConfig(num_samples=1)}, "sampling.num_samples must be at least 2 to make pairs, is 1"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    known = {"start_from": Path("m"), "data": (Path("d"),), "loop": LoopConfig(out=Path("o"))}
    with pytest.raises(ValueError, match=message):
        DpoConfig(**(known | changes))
