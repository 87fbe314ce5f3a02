"""Real processes: what ships, and one whose model takes its time."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qdts.errors import Draining, QdtsError, Unavailable
from qdts.models.document import Document
from qdts.service.application import Application
from qdts.service.config import EngineConfig, ServerConfig
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine
from qdts.service.loading import load_model
from qdts.service.processes.connect import connect
from qdts.service.processes.handover import pack_config
from qdts.service.processes.orders import log_level_order
from qdts.service.reply import Rung
from qdts.service.request import Request, Tier

SENTENCE = "One two three four five six seven eight nine ten."


@pytest.fixture(name="config")
def _config(hosts: Any, kit: Any) -> ServerConfig:
    return hosts.config(metrics=kit.Metrics(port=0), engine=kit.Engine(max_batch=4, max_queue=100))


async def ready(process: Any, directory: Path, generation: int = 1) -> None:
    line = await asyncio.to_thread(process.wait_until_ready)
    assert line.get("ready"), line
    (directory / "generation").write_text(str(generation))


async def ask(engine: Any, reader: Any, text: str = SENTENCE, seconds: float = 30) -> Any:
    prompt = reader.prepare("q", Document(text=text), max_words=1000)
    return await engine.generate(prompt, deadline=Deadline.after(seconds))


async def test_summaries_of_the_model_that_ships_are_those_of_an_engine_in_this_process(
    processes: Any, config: ServerConfig, directory: Path, questions: list[tuple[str, Document]]
) -> None:
    process = processes.start(config, program=processes.MODULE)
    summarizer = await asyncio.to_thread(load_model, EngineConfig(max_batch=4))
    assert summarizer is not None
    local = Engine(summarizer, max_batch=4, max_queue=100, max_encode_tokens=2048)
    local.start(lambda: None)

    async def answers(engine: Any, preparer: Any) -> list[Any]:
        prompts = [preparer.prepare(query, document, max_words=50) for query, document in questions]
        work = [engine.generate(prompt, deadline=Deadline.after(120)) for prompt in prompts]
        # Steps aside: how many it takes hangs on what steps cost, which each process measures.
        return [replace(done.summary, num_steps=0) for done in await asyncio.gather(*work)]

    await ready(process, directory)
    generator = await connect(config, lambda: None)
    assert generator is not None and generator.summarizer.version == summarizer.version
    assert generator.summarizer.info == summarizer.info
    expected = await answers(local, summarizer)
    assert await answers(generator.engine, generator.summarizer) == expected
    assert all(summary.text and summary.num_output_tokens for summary in expected)
    for engine in (local, generator.engine):
        await asyncio.to_thread(engine.stop, Draining("bye"), timeout_s=5)
    process.signal(signal.SIGTERM)
    assert (await asyncio.to_thread(process.end))[0] == 0


async def test_what_the_engine_counts_stands_at_its_own_port(
    processes: Any, config: ServerConfig, directory: Path, hosts: Any
) -> None:
    process = processes.start(config)
    await ready(process, directory)
    generator = await connect(config, lambda: None, load=lambda engine: processes.SlowReader())
    assert generator is not None
    hosts.generators.append(generator)
    await asyncio.gather(*(ask(generator.engine, processes.SlowReader(), "One.") for _ in range(8)))

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.line['admin_port']}{path}", timeout=10) as reply:
            return reply.read().decode()

    page = await asyncio.to_thread(get, "/metrics")
    # One more: its warm-up.
    assert re.search(r"^qdts_queue_delay_seconds_count 9.0$", page, re.M)
    assert int(float(re.findall(r"^qdts_batch_size_count (.*)$", page, re.M)[0])) >= 2
    assert re.search(r"^qdts_wasted_steps_total 0.0$", page, re.M) and re.search(r"^qdts_ready 1.0$", page, re.M)
    assert await asyncio.to_thread(get, "/readyz") == "ready\n"
    assert await asyncio.to_thread(get, "/livez") == "alive\n"


async def test_it_logs_from_the_level_that_it_is_told(processes: Any, config: ServerConfig, directory: Path) -> None:
    process = processes.start(config)
    process.popen.stdin.write(log_level_order("error") + b'{"later": 1}\n')
    process.popen.stdin.flush()
    await ready(process, directory)
    assert process.line["model"] == "slow@1"
    for part in (b'{"log_level": "warn', b'ing"}\n{"later": 2, "still": 3}', b"\n"):
        process.popen.stdin.write(part)
        process.popen.stdin.flush()
    assert json.loads(await asyncio.to_thread(process.popen.stderr.readline))["names"] == ["later", "still"]
    process.signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.end) == (0, "")


async def test_killed_with_calls_in_flight(
    processes: Any, config: ServerConfig, directory: Path, hosts: Any, eventually: Any
) -> None:
    """All of them are told at once; the next engine at the same place answers."""
    process = processes.start(config)
    await ready(process, directory)
    died = asyncio.Event()
    generator = await connect(config, died.set, load=lambda engine: processes.SlowReader())
    hosts.generators.append(generator)
    assert generator is not None
    engine = generator.engine
    work = [asyncio.ensure_future(ask(engine, processes.SlowReader(), "word " * 2_000)) for _ in range(50)]
    await eventually(lambda: engine.num_inside == 50, timeout_s=20)
    process.signal(signal.SIGKILL)
    started_at = time.monotonic()
    answers = await asyncio.gather(*work, return_exceptions=True)
    assert time.monotonic() - started_at < 5, "their deadlines are 30 s away"
    assert {type(answer) for answer in answers} == {Unavailable}
    await asyncio.wait_for(died.wait(), 5)

    again = processes.start(config)
    await ready(again, directory)
    generator = await connect(config, lambda: None, load=lambda engine: processes.SlowReader())
    assert generator is not None
    hosts.generators.append(generator)
    assert (await ask(generator.engine, processes.SlowReader())).summary.text == SENTENCE


async def test_a_front_degrades_while_its_engine_is_dead_and_is_whole_again_after(
    processes: Any, config: ServerConfig, directory: Path, kit: Any, eventually: Any
) -> None:
    process = processes.start(config)
    await ready(process, directory)

    async def join(config: ServerConfig, on_death: Any) -> Any:
        return await connect(config, on_death, load=lambda engine: processes.SlowReader(), patience_s=0.2)

    front = Application(config, join=join)
    await front.start()

    async def reply(number: int) -> Any:
        text = f"{SENTENCE} Number {number} is here."
        request = Request(
            query="q", document=Document(text=text), document_sha256=str(number), max_words=50, tier=Tier.GENERATIVE
        )
        return await front._servicer.answerer.answer(request, Deadline.after(30))  # type: ignore[union-attr]

    assert (await reply(0)).rung is Rung.FULL
    work = [asyncio.ensure_future(reply(number)) for number in range(1, 30)]
    await asyncio.sleep(0.05)
    process.signal(signal.SIGKILL)
    replies = await asyncio.gather(*work)
    assert all(each.summary.text for each in replies), "none fails"
    assert (await reply(40)).rung is Rung.EXTRACTIVE
    assert front.health.state.value == "engine_down"
    await ready(processes.start(config), directory)
    await eventually(lambda: front.health.state.value == "ready", timeout_s=60)
    assert (await reply(41)).rung is Rung.FULL
    await front.stop()


async def test_told_to_end_it_answers_what_is_there_and_takes_nothing_new(
    processes: Any, config: ServerConfig, directory: Path, hosts: Any, eventually: Any
) -> None:
    process = processes.start(config)
    await ready(process, directory)
    generator = await connect(config, lambda: None, load=lambda engine: processes.SlowReader())
    hosts.generators.append(generator)
    assert generator is not None
    engine = generator.engine
    work = [asyncio.ensure_future(ask(engine, processes.SlowReader(), f"{SENTENCE} {number}")) for number in range(12)]
    await eventually(lambda: engine.num_inside == 12, timeout_s=20)
    process.signal(signal.SIGTERM)
    answers = await asyncio.gather(*work)
    assert [answer.summary.text for answer in answers] == [f"{SENTENCE} {number}" for number in range(12)]
    assert (await asyncio.to_thread(process.end))[0] == 0
    with pytest.raises((Draining, Unavailable)):
        await ask(engine, processes.SlowReader())
    assert sorted(path.name for path in directory.iterdir()) == ["generation"]


async def test_retired_it_ends_when_the_last_front_has_gone(
    processes: Any, config: ServerConfig, directory: Path, hosts: Any
) -> None:
    process = processes.start(config)
    await ready(process, directory)
    generators = [await connect(config, lambda: None, load=lambda engine: processes.SlowReader()) for _ in range(2)]
    process.signal(signal.SIGHUP)
    for generator in generators:
        assert generator is not None
        # Still there for those that are on it.
        assert (await ask(generator.engine, processes.SlowReader())).summary.text == SENTENCE
        await asyncio.to_thread(generator.engine.stop, Draining("bye"), timeout_s=5)
    assert (await asyncio.to_thread(process.end))[0] == 0


async def test_retired_with_no_front_it_ends(processes: Any, config: ServerConfig, directory: Path) -> None:
    process = processes.start(config)
    await ready(process, directory)
    process.signal(signal.SIGHUP)
    assert (await asyncio.to_thread(process.end))[0] == 0


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, *sys.argv[2:]], stdin=subprocess.PIPE)
child.stdin.write(sys.argv[1].encode()); child.stdin.flush()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("is_ready", [True, False])
async def test_its_parent_is_killed(
    processes: Any, config: ServerConfig, directory: Path, eventually: Any, is_ready: bool
) -> None:
    """While it serves, and while it loads: nothing is left of it."""
    place = ["--directory", str(directory), "--generation", "1", "--index", "0"]
    arguments = [sys.executable, "-c", PARENT, pack_config(config).decode(), *processes.MODULE, *place]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        child = int(await asyncio.to_thread(parent.stdout.readline))
        if is_ready:
            assert json.loads(await asyncio.to_thread(parent.stdout.readline))["ready"]
        parent.kill()
    await eventually(lambda: not is_running(child), timeout_s=60)
    assert [*directory.iterdir()] == []


def is_running(process: int) -> bool:
    """Zombies do not run: here nobody else collects them."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_an_interrupt_is_the_parents_to_decide(processes: Any, config: ServerConfig, directory: Path) -> None:
    process = processes.start(config)
    await ready(process, directory)
    process.signal(signal.SIGINT)
    generator = await connect(config, lambda: None, load=lambda engine: processes.SlowReader())
    assert generator is not None
    assert (await ask(generator.engine, processes.SlowReader())).summary.text == SENTENCE
    await asyncio.to_thread(generator.engine.stop, Draining("bye"), timeout_s=5)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda config, kit: b"{\n", "standard input"),
        (
            lambda config, kit: pack_config(config).replace(b'"engine.max_batch": 4', b'"engine.max_batch": 0'),
            "max_batch",
        ),
        (
            lambda config, kit: pack_config(config).replace(b'"engine.model": ""', b'"engine.model": "no-such"'),
            "no-such",
        ),
        (
            lambda config, kit: pack_config(config).replace(b'"engine.model": ""', b'"engine.model": "none"'),
            "engine.model",
        ),
    ],
)
def test_what_cannot_start_says_why(config: ServerConfig, directory: Path, kit: Any, spoil: Any, reason: str) -> None:
    place = ["--directory", str(directory), "--generation", "1", "--index", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "qdts.service.processes.engine_process", *place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(spoil(config, kit))
    process.stdin.flush()
    said = json.loads(process.stdout.readline())
    assert said["ready"] is False and reason in said["reason"]
    process.communicate(timeout=30)
    assert process.returncode == 2
    assert [*directory.iterdir()] == []


def test_a_directory_that_others_may_enter_is_refused(processes: Any, config: ServerConfig, directory: Path) -> None:
    directory.chmod(0o755)
    process = processes.start(config)
    assert "0700" in process.wait_until_ready()["reason"]
    assert process.end()[0] == 2
    directory.chmod(0o700)


async def test_a_stopped_process_is_not_believed_and_not_waited_for(
    processes: Any, config: ServerConfig, directory: Path, hosts: Any, eventually: Any
) -> None:
    """SIGSTOP: the connection stands, and nothing comes."""
    process = processes.start(config)
    await ready(process, directory)
    generator = await connect(config, lambda: None, load=lambda engine: processes.SlowReader())
    assert generator is not None
    engine = generator.engine
    process.signal(signal.SIGSTOP)
    with pytest.raises(QdtsError):
        await ask(engine, processes.SlowReader(), seconds=0.3)
    await eventually(lambda: not any(each.is_ready for each in engine._engines.values()), timeout_s=20)  # type: ignore[attr-defined]
    started_at = time.monotonic()
    with pytest.raises(Unavailable, match="has said nothing"):
        await ask(engine, processes.SlowReader(), seconds=30)
    assert time.monotonic() - started_at < 5
    process.signal(signal.SIGCONT)
    await eventually(lambda: all(each.is_ready for each in engine._engines.values()), timeout_s=20)  # type: ignore[attr-defined]
    assert (await ask(engine, processes.SlowReader())).summary.text == SENTENCE
    await asyncio.to_thread(engine.stop, Draining("bye"), timeout_s=5)
