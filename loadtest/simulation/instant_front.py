"""A front of a simulated model that takes no time, as its supervisor starts it."""

import json
import sys

from qdts.loadtest.simulation.costs import INSTANT
from qdts.loadtest.simulation.summarizer import SimulatedPrompt, SimulatedSummarizer
from qdts.models.document import Document, Span, SummarySentence
from qdts.service.config import EngineConfig, ServerConfig
from qdts.service.ladder import Generator
from qdts.service.processes import front_process
from qdts.service.processes.connect import OnDeath, connect
from qdts.service.processes.reader import PackedPrompt


class SimulatedReader:
    """Prompts of the simulated model, packed."""

    version = SimulatedSummarizer.version

    def __init__(self) -> None:
        self._summarizer = SimulatedSummarizer(INSTANT)

    def prepare(self, query: str, document: Document, *, max_words: int, passages_only: bool = False) -> PackedPrompt:
        """As the simulated summariser's."""
        prompt = self._summarizer.prepare(query, document, max_words=max_words, passages_only=passages_only)
        return PackedPrompt(data=pack(prompt), key=prompt.num_tokens)


def pack(prompt: SimulatedPrompt) -> bytes:
    """The prompt as bytes."""
    source = prompt.sentence.source
    assert source is not None
    return json.dumps([prompt.sentence.text, source.start, source.end, prompt.num_tokens, prompt.coverage]).encode()


def unpack(data: bytes | memoryview) -> SimulatedPrompt:
    """What pack() was given."""
    text, start, end, num_tokens, coverage = json.loads(bytes(data))
    sentence = SummarySentence(text=text, source=Span(start, end))
    return SimulatedPrompt(sentence=sentence, num_tokens=num_tokens, coverage=coverage)


def load(config: EngineConfig) -> SimulatedReader:
    """Whatever the configuration names."""
    del config
    return SimulatedReader()


async def _join(config: ServerConfig, on_death: OnDeath) -> Generator | None:
    return await connect(config, on_death, load=load)


if __name__ == "__main__":
    sys.exit(front_process.main(join=_join))
