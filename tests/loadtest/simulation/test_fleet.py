"""A server of several processes around an instant model: it answers by that, and is gone afterwards."""

from pathlib import Path

import pytest

from qdts.errors import Unavailable
from qdts.loadtest.bench_front import fleet
from qdts.loadtest.simulation.costs import INSTANT
from qdts.loadtest.simulation.fleet import INSTANT_MODULES, Fleet, cpu_s
from qdts.loadtest.simulation.instant_front import SimulatedReader, pack, unpack
from qdts.loadtest.simulation.server import QUIET
from qdts.loadtest.simulation.summarizer import SimulatedSummarizer
from qdts.models.document import Document
from qdts.service.client import Client
from qdts.service.config import load_config

DOCUMENT = Document(text="The lighthouse was built in 1874 on the northern cape. Its lamp could be seen from afar.")


def test_prompts_come_through_the_socket_as_they_were() -> None:
    prompt = SimulatedSummarizer(INSTANT).prepare("when?", DOCUMENT, max_words=35)
    packed = SimulatedReader().prepare("when?", DOCUMENT, max_words=35)
    again = unpack(packed.data)
    assert packed.data == pack(prompt) == pack(again)
    assert (again.sentence, again.num_tokens, again.coverage) == (prompt.sentence, prompt.num_tokens, prompt.coverage)


@pytest.mark.slow
def test_answers_by_the_model_and_is_gone_afterwards() -> None:
    with fleet(fronts=1, is_instant=True) as server, Client(server.url) as client:
        reply = client.summarize("When was it built?", DOCUMENT.text, tier="generative", timeout_s=20)
        assert reply.rung == "full" and reply.model_version == "simulated@1"
        pids = server.pids
        assert set(pids) == {"front-0", "engine-0"} and cpu_s(pids["front-0"]) > 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_server_that_does_not_start_is_told() -> None:
    config = load_config(None, {}, {**QUIET, "processes.fronts": 1, "redis.url": "redis://127.0.0.1:1/0",
                                    "redis.secret_file": "/nowhere"})  # fmt: skip
    with pytest.raises(Unavailable, match="did not start"):
        with Fleet(config, INSTANT_MODULES):
            pass
