"""Rows to requests that fill the encoder's input: a short document goes on with those of the rows after it.

A round is what every system is asked in its turn, by scenario.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from qdts.loadtest.peers.base import BATCH_SIZE, Request, Scenario, Text
from qdts.models.document import Document
from qdts.models.evaluation.rows import EvalRow
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.tokenizer import Tokenizer

TOKENIZER, LEXICON = "tokenizer.json", "lexicon.safetensors"
MAX_WORDS = 50
# More than 512 tokens hold, in any of the sets: the builder then selects passages until they are full.
_MIN_CHARS = 4000

Round = Mapping[Scenario, tuple[Request, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestConfig:
    """`num_tokens` is what every system writes freely; `min_chars` how long a document is at least; `text` and `trims`
    as in `Request`."""

    num_tokens: int = 40
    min_chars: int = _MIN_CHARS
    text: Text = Text.FREE
    trims: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.num_tokens <= 512:
            raise ValueError(f"num_tokens must lie in [1, 512], is {self.num_tokens}")


def open_builder(model: Path) -> PromptBuilder:
    """The prompts of a model directory."""
    tokenizer = Tokenizer.load(model / TOKENIZER)
    return PromptBuilder(tokenizer, Lexicon.load(model / LEXICON), PromptConfig())


def make_rounds(builder: PromptBuilder, rows: Sequence[EvalRow], config: RequestConfig) -> Iterator[Round]:
    """For each row one request, the document new and the document known."""
    for index, row in enumerate(rows):
        document = _document(rows, index, config)
        yield {
            scenario: (_request(builder, row.query, document, scenario, config),)
            for scenario in (Scenario.JOINT, Scenario.INDEXED)
        }


def make_batches(
    builder: PromptBuilder, rows: Sequence[EvalRow], config: RequestConfig, num_batches: int
) -> Iterator[Round]:
    """One query each, on the documents of its row and of the rows after it, as a page of results is summarised.

    Prefixes are then equally long, which no decoder has to pad; documents with too few sentences for that are passed
    over. ValueError where too few are left.
    """
    for first in range(0, num_batches * BATCH_SIZE, BATCH_SIZE):
        indices = [(first + place) % len(rows) for place in range(len(rows))]
        query = rows[indices[0]].query
        made = (_request(builder, query, _document(rows, index, config), Scenario.JOINT, config) for index in indices)
        yield {Scenario.BATCH8: _equally_long(made)}


def _equally_long(requests: Iterable[Request]) -> tuple[Request, ...]:
    found: list[Request] = []
    for request in requests:
        if not found or len(request.prefix) == len(found[0].prefix):
            found.append(request)
        if len(found) == BATCH_SIZE:
            return tuple(found)
    raise ValueError(f"a batch needs {BATCH_SIZE} rows with prefixes of one length, there are {len(found)}")


def _document(rows: Sequence[EvalRow], index: int, config: RequestConfig) -> Document:
    return Document(title=rows[index].title, text=long_text(rows, index, config.min_chars))


def _request(
    builder: PromptBuilder, query: str, document: Document, scenario: Scenario, config: RequestConfig
) -> Request:
    mode = "indexed" if scenario is Scenario.INDEXED else "joint"
    prompt = builder.build(query, document, max_words=MAX_WORDS, mode=mode)
    return Request(prompt=prompt, num_tokens=config.num_tokens, text=config.text, trims=config.trims)


def long_text(rows: Sequence[EvalRow], index: int, min_chars: int) -> str:
    """The document of a row and, until there are `min_chars` code points, those of the rows after it, from the first
    again after the last."""
    texts = [rows[index].document]
    for row in islice(cycle(rows), index + 1, None):
        if sum(map(len, texts)) >= min_chars:
            break
        texts.append(row.document)
    return "\n\n".join(texts)
