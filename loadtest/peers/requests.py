"""Rows to requests that fill the encoder's input: a short document goes on with those of the rows after it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from qdts.loadtest.peers.base import Request, Scenario
from qdts.models.document import Document
from qdts.models.evaluation.rows import EvalRow
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.tokenizer import Tokenizer

MAX_WORDS = 50
# More than 512 tokens hold, in any of the sets: the builder then selects passages until they are full.
_MIN_CHARS = 4000

Pair = dict[Scenario, Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestConfig:
    """`num_tokens` is what every system writes; `min_chars` how long a document is at least."""

    num_tokens: int = 40
    min_chars: int = _MIN_CHARS

    def __post_init__(self) -> None:
        if not 1 <= self.num_tokens <= 512:
            raise ValueError(f"num_tokens must lie in [1, 512], is {self.num_tokens}")


def open_builder(model: Path) -> PromptBuilder:
    """The prompts of a model directory."""
    tokenizer = Tokenizer.load(model / "tokenizer.json")
    return PromptBuilder(tokenizer, Lexicon.load(model / "lexicon.safetensors"), PromptConfig())


def make_requests(builder: PromptBuilder, rows: Sequence[EvalRow], config: RequestConfig) -> Iterator[Pair]:
    """For each row what is asked in each scenario."""
    for index, row in enumerate(rows):
        document = Document(title=row.title, text=long_text(rows, index, config.min_chars))
        yield {
            scenario: Request(
                prompt=builder.build(row.query, document, max_words=MAX_WORDS, mode=scenario.value),
                num_tokens=config.num_tokens,
            )
            for scenario in Scenario
        }


def long_text(rows: Sequence[EvalRow], index: int, min_chars: int) -> str:
    """The document of a row and, until there are `min_chars` code points, those of the rows after it, from the first
    again after the last."""
    texts = [rows[index].document]
    for row in islice(cycle(rows), index + 1, None):
        if sum(map(len, texts)) >= min_chars:
            break
        texts.append(row.document)
    return "\n\n".join(texts)
