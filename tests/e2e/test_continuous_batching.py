"""The shipped model in the engine, requests coming and going while others are written: each gets what it gets alone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import pytest

from qdts.errors import Draining
from qdts.models.document import Document, Summary
from qdts.models.shipped import find_model
from qdts.models.summarizer import Summarizer, SummarizerConfig
from qdts.service.deadline import Deadline
from qdts.service.engine import Engine

TEXT = (
    "The lighthouse was built in 1874 on the northern cape. Its lamp could be seen for thirty miles.\n\n"
    "Keepers lived there until 1981, when the light became automatic. Since then the house has stood empty, but for "
    "the months of summer, when students count birds there. In 1990 a storm took the roof of the boat house. The last "
    "keeper, Ada Holm, wrote a book about the winters on the cape, which is sold at the museum in the town."
)
QUERIES = ("When was the lighthouse built?", "Who wrote a book?", "What do students do there?", "the storm", "keepers")


class Watched(Summarizer):
    """How many summaries each step was for."""

    sizes: list[int]

    def start(self, prompts: Any) -> Any:
        generation = super().start(prompts)
        step = generation.step
        self.sizes = getattr(self, "sizes", [])

        def watched() -> None:
            self.sizes.append(len(generation.active))
            step()

        generation.step = watched
        return generation


@pytest.fixture(scope="module")
def summarizer() -> Iterator[Watched]:
    path = find_model("")
    assert path is not None
    # Token by token: a summary takes many steps, so that there is time to join.
    yield Watched.load(path, SummarizerConfig(num_threads=1, max_batch=3, max_draft=0))


@pytest.fixture
async def engine(summarizer: Watched) -> AsyncIterator[Engine]:
    engine = Engine(summarizer, max_batch=3, max_queue=100, max_encode_tokens=300)
    engine.start(lambda: None)
    yield engine
    await asyncio.to_thread(engine.stop, Draining("bye"), timeout_s=5)
    assert not engine.is_alive


def alone(summarizer: Summarizer, prompt: Any) -> Summary:
    generation = summarizer.start([prompt])
    while generation.active:
        generation.step()
    return generation.summary(0)


async def test_replies_are_those_of_each_alone(summarizer: Watched, engine: Engine) -> None:
    documents = [Document(text=TEXT[:end]) for end in (len(TEXT), 250, 95)]
    prompts = [summarizer.prepare(query, document, max_words=30) for query in QUERIES for document in documents]
    expected = [alone(summarizer, prompt) for prompt in prompts]
    assert len({summary.text for summary in expected}) > 5
    summarizer.sizes.clear()
    random = Random(3)
    jobs: list[asyncio.Future[Any]] = []
    for number, prompt in enumerate(prompts):
        jobs.append(asyncio.ensure_future(engine.generate(prompt, deadline=Deadline.after(60))))
        if number % 5 == 4:
            gone = asyncio.ensure_future(engine.generate(prompt, deadline=Deadline.after(60)))
            asyncio.get_running_loop().call_later(0.03 * random.random(), gone.cancel)
        if number % 3 == 2:
            await asyncio.sleep(0.05 * random.random())
    results = await asyncio.gather(*jobs)
    assert [result.summary for result in results] == expected
    assert max(summarizer.sizes) == 3, "some were written together"
    joint, single = sum(summarizer.sizes), sum(summary.num_steps for summary in expected)
    assert len(summarizer.sizes) < single <= joint
