"""A user's path at toy scale: rows in, a directory out that loads, answers, and whose figures hold."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qdts.errors import ConfigError
from qdts.models import manifest
from qdts.models.document import Document
from qdts.models.export.release import export
from qdts.models.summarizer import Summarizer, SummarizerConfig
from qdts.models.training.finetune import FinetuneConfig, FinetuneResult, finetune
from qdts.service.cli import main

ROWS = Path(__file__).parents[3] / "docs" / "samples" / "finetune_rows.jsonl"


@pytest.fixture(scope="module")
def base(summarizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "tiny"
    shutil.copytree(summarizer_dir, out)
    export(out, out)
    manifest.write(out, manifest.Description(name="tiny", version="3", licence="Apache-2.0"))
    return out


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "mine.jsonl"
    lines = ROWS.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[::8]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def config(base: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneConfig:
    return FinetuneConfig(
        rows=rows,
        model=base,
        out=tmp_path_factory.mktemp("run") / "mine",
        name="mine",
        num_epochs=1,
        held_out_percent=20,
        num_threads=1,
        sample_rows=1,
    )


@pytest.fixture(scope="module")
def result(config: FinetuneConfig) -> FinetuneResult:
    done = finetune(config)
    assert done is not None
    return done


def test_what_comes_out_loads_and_answers(result: FinetuneResult, config: FinetuneConfig) -> None:
    assert result.model == config.out / "model"
    summarizer = Summarizer.load(result.model, SummarizerConfig(num_threads=1))
    assert summarizer.version.startswith("mine@")
    text = "The mill stands by the river. It was built in 1820. Nobody lives there."
    generation = summarizer.start([summarizer.prepare("When was it built?", Document(text=text), max_words=20)])
    while generation.active:
        generation.step()
    assert all(sentence.text in text for sentence in generation.summary(0).sentences)


def test_the_weights_were_trained_and_say_from_what(result: FinetuneResult, base: Path) -> None:
    found, before = manifest.verify(result.model), manifest.read(base)
    assert found.files["model.safetensors"] != before.files["model.safetensors"]
    assert f"fine-tuned from tiny 3 ({before.digest[:12]}" in found.training_data[-1]
    assert f"on {len(result.rows.examples)} rows of mine.jsonl" in found.training_data[-1]
    assert found.quantization["int8"]["calibrated_on"] == "heldout.jsonl"


def test_before_and_after_are_measured_on_the_held_out_rows(result: FinetuneResult) -> None:
    assert sum(result.before.num_rows.values()) == len(result.rows.held_out)
    assert [system.name for system in result.before.systems] == [system.name for system in result.after.systems]
    card = manifest.read(result.model).metrics
    assert card["settings"]["rows"] == "heldout.jsonl"
    assert set(card["systems"]) == {system.name for system in result.after.systems}
    assert card["sample"]["settings"]["rows_per_set"] == 1


def test_its_figures_can_be_verified(result: FinetuneResult, config: FinetuneConfig) -> None:
    assert main(["model", "verify", str(result.model), "--data", str(config.out / "heldout.jsonl")]) == 0


def test_the_same_call_goes_on_and_another_is_refused(result: FinetuneResult, config: FinetuneConfig) -> None:
    plan = json.loads((config.out / "plan.json").read_text())
    assert plan["num_steps"] == result.num_steps
    with pytest.raises(ConfigError, match="holds another fine-tuning"):
        finetune(replace(config, seed=1))
    (config.out / "plan.json").rename(config.out / "kept.json")
    with pytest.raises(ConfigError, match="holds something else"):
        finetune(config)
    (config.out / "kept.json").rename(config.out / "plan.json")


def test_the_command_checks_without_writing(
    base: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["finetune", str(rows), "--model", str(base), "--check"]) == 0
    assert "rows to train on" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--check", "--epochs", "0"), "num_epochs must be at least 1, is 0"),
        (("--out", "o", "--minutes", "-1"), "minutes must be above 0"),
        ((), "--out is missing"),
        (("--check", "--name", "a/b"), "name must be a word"),
    ],
)
def test_the_command_names_the_mistake(
    base: Path, rows: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", str(rows), "--model", str(base), *flags]) == 2
    assert message in capsys.readouterr().err


def test_the_command_names_a_file_that_is_not_there(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "/nowhere.jsonl", "--check", "--model", str(base)]) == 2
    assert "no file /nowhere.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("percent", [0, 51])
def test_bad_settings_are_named(percent: int) -> None:
    with pytest.raises(ValueError, match=r"held_out_percent must lie in \[1, 50\]"):
        FinetuneConfig(rows=Path("r"), model=Path("m"), out=Path("o"), held_out_percent=percent)
