"""The command line as people use it: subprocesses, real files, mistakes included."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qdts.models.training.config import FitConfig
from qdts.models.training.stages import STAGES
from qdts.service.cli import main
from qdts.service.commands.train import STAGE_NAMES, read_config

QDTS = (sys.executable, "-P", "-m", "qdts.service.cli")
DOCUMENT = "The letter was written by Ada Lovelace in 1843. It was long and it was sent to London."
NO_MODEL = {"QDTS_ENGINE__MODEL": "none"}


def qdts(*args: str | Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run the command without a model, unless the test says otherwise."""
    env = {**os.environ, **NO_MODEL, **kwargs.pop("env", {})}
    command = [*QDTS, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, **kwargs)


def try_main(*args: str | Path) -> int:
    """The exit status, in this process: quicker, for mistakes that end before anything runs."""
    try:
        return main([*map(str, args)])
    except SystemExit as exit:
        return int(exit.code or 0)


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDTS_ENGINE__MODEL", "none")


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_text(DOCUMENT, encoding="utf-8")
    return path


def test_help_names_every_command() -> None:
    out = qdts("--help").stdout
    assert all(name in out for name in ("serve", "summarize", "batch", "eval", "model", "train", "finetune"))


def test_summarize_prints_the_summary_alone(document: Path) -> None:
    done = qdts("summarize", "--query", "who wrote the letter?", "--doc-file", document, "--max-words", "12")
    assert (done.returncode, done.stdout) == (0, "The letter was written by Ada Lovelace in 1843.\n")
    assert "extractive" in done.stderr


def test_summarize_json_is_the_whole_reply(document: Path) -> None:
    done = qdts("summarize", "--query", "who wrote the letter?", "--doc-file", document, "--json")
    reply = json.loads(done.stdout)
    span = reply["sentences"][0]["source_span"]
    assert DOCUMENT[span["start"] : span["end"]] == reply["sentences"][0]["text"]
    assert reply["rung"] == "extractive"


def test_summarize_reads_stdin() -> None:
    done = qdts("summarize", "--query", "who?", "--doc-file", "-", input=DOCUMENT)
    assert (done.returncode, done.stdout.startswith("The letter")) == (0, True)


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (("--query", " "), 2, "query: is blank"),
        (("--query", "q" * 1001), 2, "query: has 1,001 characters; must have at most 1,000"),
        (("--query", "q", "--max-words", "3"), 2, "options.max_words: is 3; must be between 5 and 100"),
        (("--query", "q", "--max-words", "-1"), 2, "options.max_words: -1 is not in"),
        (("--query", "q", "--max-words", "many"), 2, "invalid int value: 'many'"),
        (("--query", "q", "--timeout", "0"), 2, "timeout_s: 0.0 is not in"),
        (("--query", "q", "--mode", "magic"), 2, "invalid choice: 'magic'"),
        (("--query", "q", "--language", "not a tag"), 2, "document.language_code"),
        (("--query", "q", "--model", "/nowhere"), 1, "/nowhere"),
        (("--query", "q", "--config", "/nowhere.toml"), 2, "cannot read /nowhere.toml"),
        (("--query", "q", "--url", "127.0.0.1:1"), 1, "refused"),
        (("--query", "q", "--url", "h:1", "--model", "m"), 2, "leave out --model and --config"),
    ],
)
def test_summarize_names_the_mistake_in_one_line(
    document: Path, flags: tuple[str, ...], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert try_main("summarize", "--doc-file", document, *flags) == status
    said = capsys.readouterr()
    assert message in said.err.splitlines()[-1]
    assert said.out == ""


def test_names_a_document_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary").write_bytes(b"ab\xff\xfe")
    for name, status, message in (
        ("binary", 2, "binary is not UTF-8 at byte 2"),
        ("missing", 1, "missing: No such file or directory"),
        (".", 1, "Is a directory"),
    ):
        assert try_main("summarize", "--query", "q", "--doc-file", tmp_path / name) == status
        assert message in capsys.readouterr().err


def test_batch_answers_what_it_can(tmp_path: Path) -> None:
    rows = [
        json.dumps({"id": 1, "query": "who wrote the letter?", "doc": DOCUMENT}),
        json.dumps({"id": 2, "query": "", "doc": DOCUMENT}),
        "not json",
        '{"id": "three", "query": "\\ud83d", "doc": "d"}',
        json.dumps({"id": "四", "query": "谁写的?", "doc": "这封信是艾达写的。信很长。"}, ensure_ascii=False),
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(rows), encoding="utf-8")
    done = qdts("batch", tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    replies = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert done.returncode == 0, done.stderr
    assert [reply["id"] for reply in replies] == [1, 2, None, "three", "四"]
    assert [reply.get("error", {}).get("field") for reply in replies] == [None, "query", "row", "query", None]
    assert replies[4]["summary"] == "这封信是艾达写的。"
    assert "5 rows" in done.stderr and "error 3" in done.stderr
    assert "5/5" in done.stderr  # the progress bar


def test_batch_will_not_overwrite_its_input(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": 1}\n')
    done = qdts("batch", rows, rows)
    assert (done.returncode, rows.read_text()) == (2, '{"id": 1}\n')


def test_batch_leaves_an_old_output_alone_where_nobody_answers(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 1, "query": "q", "doc": "d"}\n')
    (tmp_path / "out.jsonl").write_text("old\n")
    done = qdts("batch", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--url", "127.0.0.1:1")
    assert (done.returncode, (tmp_path / "out.jsonl").read_text()) == (1, "old\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--port", "99999"), "server.port = 99999: must be between 0 and 65535"),
        (("--set", "server.prot=1"), "unknown setting server.prot; nearest known: server.port"),
        (("--set", "port=1"), "--set port=1: must be section.key=value"),
        (("--set", "server.port"), "must be section.key=value"),
        (("--config", "/nowhere.toml"), "cannot read /nowhere.toml"),
    ],
)
def test_serve_names_the_setting_that_is_wrong(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert try_main("serve", *flags) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_mistake_ends_the_process_with_its_status(document: Path) -> None:
    done = qdts("summarize", "--query", " ", "--doc-file", document)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("qdts: query: is blank") and "Traceback" not in done.stderr


async def test_summarize_asks_the_server_that_is_named(server: Any, document: Path) -> None:
    command = ("summarize", "--url", server.address, "--query", "who?", "--doc-file", document, "--json")
    done = await asyncio.to_thread(qdts, *command)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model_version"] == "fake@0123"


async def test_batch_asks_the_server_that_is_named(server: Any, tmp_path: Path) -> None:
    rows = [json.dumps({"id": i, "query": "who?", "doc": f"{DOCUMENT} Copy {i}."}) for i in range(20)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    files = (tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    done = await asyncio.to_thread(qdts, "batch", *files, "--url", server.address, "--quiet")
    replies = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert done.stderr == "20 rows: full 20\n"
    assert [reply["id"] for reply in replies] == list(range(20))


def test_serve_drains_when_told(tmp_path: Path) -> None:
    command = [
        *QDTS,
        "serve",
        "--port",
        "0",
        "--set",
        "metrics.enabled=false",
        "--set",
        "server.drain_delay_s=0",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **NO_MODEL}) as server:
        assert server.stderr is not None
        events = [json.loads(server.stderr.readline())["event"]]
        server.send_signal(signal.SIGTERM)
        events += [json.loads(line)["event"] for line in server.stderr]
        assert server.wait(30) == 0
    assert events == ["ready", "draining", "stopped"]


def test_eval_prints_the_report_as_json(tmp_path: Path) -> None:
    row = {"id": "1", "set": "mine", "query": "who?", "doc": DOCUMENT, "summary": "Ada Lovelace wrote it."}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    flags = (
        "--data",
        tmp_path / "rows.jsonl",
        "--systems",
        "lead_1,bm25_1",
        "--quiet",
        "--json",
        "--no-semantic",
    )
    done = qdts("eval", "--model", "none", *flags)
    assert done.returncode == 0, done.stderr
    assert [system["name"] for system in json.loads(done.stdout)["systems"]] == ["lead_1", "bm25_1"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data", "/nowhere"), "--data: /nowhere does not exist"),
        (("--modes", "joint,both"), "--modes: both is not one of joint, indexed"),
        (("--rows", "0"), "rows_per_set must be at least 1"),
        (("--systems", "magic"), "'magic' is not one of"),
    ],
)
def test_eval_names_the_mistake(flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--model", "none", *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    from qdts.models.manifest import Description, write

    directory = tmp_path / "tiny"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    write(directory, Description(name="tiny", version="1", licence="CC0-1.0"))
    return directory


def test_model_show_prints_the_manifest(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", str(model_dir)]) == 0
    out = capsys.readouterr().out
    assert "tiny 1, CC0-1.0" in out and "config.json" in out and "not verified" in out


def test_model_verify_finds_a_changed_file(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "verify", str(model_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "verified"
    (model_dir / "config.json").write_text("[]")
    assert main(["model", "verify", str(model_dir)]) == 1
    assert "config.json differs from manifest.json" in capsys.readouterr().err


CARD = {
    "settings": {"rows": "rows.jsonl", "max_words": 20},
    "num_rows": {"mine": 25},
    "systems": {"lead_1": {"words": 4.0}, "joint/onnx/int8": {"rouge_l": 0.5}},
    "by_set": {"lead_1": {"mine": {"words": 4.0}}},
}


@pytest.fixture
def measured_dir(model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with a card, and rows it was measured on; what would evaluate the model leaves it out."""
    from qdts.models.evaluation import run
    from qdts.models.manifest import write_metrics

    write_metrics(model_dir, CARD)
    row = {"set": "mine", "query": "who?", "doc": "Ada wrote it long. More.", "summary": "Ada wrote it long."}
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({**row, "id": str(i)}) for i in range(25)))
    monkeypatch.setattr(run, "_generative_systems", lambda config: [])
    return model_dir


def test_model_verify_computes_the_card_again(measured_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--data", str(measured_dir.parent / "rows.jsonl"))
    assert main(["model", "verify", str(measured_dir), *flags]) == 0
    assert "2 of 2 numbers of the card hold" in capsys.readouterr().out
    assert main(["model", "verify", str(measured_dir), *flags, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "verified" and len(said["checks"]) == 2 and all(c["holds"] for c in said["checks"])


def test_model_verify_shows_what_differs(measured_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from qdts.models.manifest import write_metrics

    write_metrics(measured_dir, {**CARD, "systems": {**CARD["systems"], "lead_1": {"words": 9.0}}})
    assert main(["model", "verify", str(measured_dir), "--data", str(measured_dir.parent / "rows.jsonl")]) == 1
    out = capsys.readouterr().out
    assert "1 of 2 numbers" in out and "lead_1" in out and "-5.0000" in out


def test_model_verify_can_check_files_alone(measured_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "verify", str(measured_dir), "--files"]) == 0
    assert "metrics not computed again" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data", "/nowhere"), "--data: /nowhere does not exist"),
        (("--data", "."), "no metrics for eval_v1; it has some for: rows.jsonl"),
    ],
)
def test_model_verify_names_the_mistake(
    measured_dir: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "verify", str(measured_dir), *flags]) == 2
    assert message in capsys.readouterr().err


def test_model_show_has_the_figures_by_set(measured_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", str(measured_dir)]) == 0
    assert "50.0/-/-" in capsys.readouterr().out


RUN = 'model = "m"\n[task]\ndata = ["a"]\nshares = [1]\n[loop]\nout = "o"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is not TOML"),
        ("stesp = 5", "unknown setting stesp; known: model, loop, start_from"),
        ('start_from = "a"', "model is missing"),
        (RUN.replace("shares = [1]", ""), "task.shares is missing"),
        (RUN.replace("[1]", "[1, 2]"), "shares must name one number per data set"),
        (RUN + 'num_steps = "many"', "loop.num_steps = 'many': must be int"),
        (RUN + "num_steps = 1.5", "loop.num_steps = 1.5: must be int"),
        (RUN + "num_steps = 0", "num_steps must be at least 1, is 0"),
        (RUN + 'optimizer = "sgd"', "loop.optimizer = 'sgd': must be adamw or muon"),
        (RUN + "out = 5", "is not TOML"),
        (RUN + "max_minutes = 0", "max_minutes must be above 0, is 0"),
        (RUN + "compile = 1", "loop.compile = 1: must be bool"),
        (RUN + 'device = "tpu"', "device must be cpu, cuda or cuda:N, is 'tpu'"),
        (RUN + "[shape]\nwidth = 5", "unknown setting shape.width"),
    ],
)
def test_train_names_the_mistake(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.toml").write_text(text)
    assert main(["train", "fit", "--config", str(tmp_path / "run.toml")]) == 2
    assert message in capsys.readouterr().err


def test_train_reads_a_run(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        RUN + "learning_rate = 1\nmax_minutes = 9\ncompile = true\n[shape]\nd_model = 64"
    )
    config = read_config(tmp_path / "run.toml", FitConfig)
    assert (config.task.data, config.task.shares, config.loop.out) == ((Path("a"),), (1.0,), Path("o"))
    assert (config.loop.learning_rate, config.shape.d_model, config.loop.num_steps) == (1.0, 64, 1000)
    assert config.loop.max_minutes == 9.0 and config.loop.compile and config.loop.peak_flops is None


def test_train_takes_settings_instead_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN + "learning_rate = 1")
    changes = ["loop.num_steps=3", 'loop.device="cuda:1"', "shape.d_model=64", "task.shares=[2.5]"]
    config = read_config(tmp_path / "run.toml", FitConfig, changes)
    assert (config.loop.num_steps, config.loop.device, config.loop.learning_rate) == (3, "cuda:1", 1.0)
    assert (config.shape.d_model, config.task.shares) == (64, (2.5,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loop.num_steps", "must be NAME=VALUE"),
        ("loop.device=cpu", "texts in quotes"),
        ("=3", "must be NAME=VALUE"),
        ("model.name=3", "model is no table"),
        ("loop.steps=3", "unknown setting loop.steps"),
        ("loop.num_steps=0", "num_steps must be at least 1"),
    ],
)
def test_train_names_the_setting_that_is_wrong(
    change: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.toml").write_text(RUN)
    assert main(["train", "fit", "--config", str(tmp_path / "run.toml"), "--set", change]) == 2
    assert message in capsys.readouterr().err


def test_train_offers_every_stage() -> None:
    assert tuple(STAGES) == STAGE_NAMES
