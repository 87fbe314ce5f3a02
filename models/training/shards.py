"""Raw prose as token ids on disk, memory-mapped: what pretraining reads.

A directory of shards, each three files: `tokens-N.npy` (uint16, documents on end, each closed by </s>),
`documents-N.npy` and `sentences-N.npy` (int64, where each begins in the shard's tokens), and `shards.json`, which is
written last. A sentence is encoded on its own, as prompts do it. Knows nothing of objectives and nets.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from qdts.errors import ConfigError
from qdts.models.evaluation.contamination import Contamination
from qdts.models.runtimes.base import Ids
from qdts.models.text.sentences import split_sentences
from qdts.models.tokenizer import END, Tokenizer
from qdts.models.training.array_file import ArrayFile
from qdts.models.training.config import check_at_least, check_shares
from qdts.models.training.data.corpus import sample_documents

_SUMMARY = "shards.json"
_MAX_VOCABULARY = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsConfig:
    """A `share` of the corpus files' documents, tokenized by `model`/tokenizer.json, in `out`.

    `evaluation` is the directory the evaluation rows come from; None where there is nothing to keep out.
    """

    corpus: tuple[Path, ...]
    model: Path
    out: Path
    share: float = 1.0
    evaluation: Path | None = None
    # A shard is closed after the document that fills it.
    tokens_per_shard: int = 1 << 27
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.corpus:
            raise ValueError("corpus must name at least 1 file, names 0")
        check_shares(self, ("share",))
        check_at_least(self, 1, ("tokens_per_shard",))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsSummary:
    """What a directory of shards holds. Ids mean nothing without the tokenizer they are of."""

    tokenizer_sha256: str
    num_shards: int
    num_tokens: int
    num_documents: int
    # Left out because they share text with an evaluation row.
    num_contaminated: int


def run_shards(config: ShardsConfig) -> ShardsSummary:
    """Write the shards of a corpus. The same corpus, config and tokenizer make the same files."""
    path = config.model / "tokenizer.json"
    contamination = Contamination.load(config.evaluation) if config.evaluation else Contamination([])
    documents = sample_documents(config.corpus, config.share, config.seed)
    clean = _Clean(tqdm(documents, unit="document"), contamination)
    config.out.mkdir(parents=True, exist_ok=True)
    for old in (*config.out.glob("*-*.npy"), *config.out.glob(_SUMMARY)):
        old.unlink()
    counts = _write_shards(clean, Tokenizer.load(path), config)
    summary = ShardsSummary(tokenizer_sha256=file_sha256(path), num_contaminated=clean.num_refused, **counts)
    (config.out / _SUMMARY).write_text(json.dumps(asdict(summary), indent=1) + "\n", encoding="utf-8")
    return summary


class _Clean:
    """Documents that share nothing with the evaluation, and how many did."""

    def __init__(self, documents: Iterable[str], contamination: Contamination) -> None:
        self._documents, self._contamination = documents, contamination
        self.num_refused = 0

    def __iter__(self) -> Iterator[str]:
        for document in self._documents:
            if self._contamination.is_contaminated("", document):
                self.num_refused += 1
            else:
                yield document


def _write_shards(documents: Iterable[str], tokenizer: Tokenizer, config: ShardsConfig) -> dict[str, int]:
    if tokenizer.vocab_size > _MAX_VOCABULARY:
        raise ConfigError(f"{config.model}: {tokenizer.vocab_size} words; shards hold at most {_MAX_VOCABULARY}")
    rows = (row for row in (encode_document(tokenizer, text) for text in documents) if len(row[1]))
    counts = {"num_shards": 0, "num_tokens": 0, "num_documents": 0}
    for first in rows:
        num_tokens, num_documents = _write_shard(chain([first], rows), counts["num_shards"], config)
        counts["num_shards"] += 1
        counts["num_tokens"] += num_tokens
        counts["num_documents"] += num_documents
    if not counts["num_tokens"]:
        raise ValueError(f"{config.out}: no documents to write")
    return counts


def _write_shard(rows: Iterator[tuple[Ids, Ids]], number: int, config: ShardsConfig) -> tuple[int, int]:
    """One shard: its tokens and documents."""
    with ExitStack() as stack:
        tokens, documents, sentences = (
            stack.enter_context(ArrayFile(_path(config.out, name, number), dtype))
            for name, dtype in (("tokens", np.uint16), ("documents", np.int64), ("sentences", np.int64))
        )
        for ids, starts in rows:
            documents.append(np.array([tokens.length]))
            sentences.append(tokens.length + starts)
            tokens.append(ids)
            if tokens.length >= config.tokens_per_shard:
                break
    return tokens.length, documents.length


def encode_document(tokenizer: Tokenizer, text: str) -> tuple[Ids, Ids]:
    """Ids (T,) of the document's sentences and of </s> after the last; where each sentence begins (N,)."""
    pieces = tokenizer.encode_pieces([span.of(text) for span in split_sentences(text)])
    ids = [piece.ids for piece in pieces if len(piece.ids)]
    lengths = np.array([0, *(len(piece) for piece in ids)])
    return np.concatenate([*ids, [END]]).astype(np.int64), lengths.cumsum()[:-1]


def file_sha256(path: Path) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _path(directory: Path, name: str, number: int) -> Path:
    return directory / f"{name}-{number:03d}.npy"


class TokenShards:
    """Shards as one row of tokens, read through the page cache. A window never reaches from one into the next."""

    def __init__(self, directory: Path, tokenizer: Path | None = None) -> None:
        """ConfigError where shards are missing, or are not of the tokenizer.json given."""
        path = directory / _SUMMARY
        if not path.is_file():
            raise ConfigError(f"{path} is not there: run the stage `shards` (to its end) first")
        self.summary = ShardsSummary(**json.loads(path.read_text(encoding="utf-8")))
        if tokenizer is not None and file_sha256(tokenizer) != self.summary.tokenizer_sha256:
            raise ConfigError(f"{directory} was tokenized by another tokenizer than {tokenizer}")
        numbers = range(self.summary.num_shards)
        self._tokens: list[npt.NDArray[Any]] = [_map(directory, "tokens", number) for number in numbers]
        self._sentences: list[npt.NDArray[Any]] = [_map(directory, "sentences", number) for number in numbers]
        self._bases = np.concatenate([[0], np.cumsum([len(tokens) for tokens in self._tokens])])

    @property
    def num_tokens(self) -> int:
        """Of all shards."""
        return int(self._bases[-1])

    def window_starts(self, length: int, offset: int = 0) -> Ids:
        """Where windows of `length` tokens begin that lie side by side, the first `offset` tokens into a shard."""
        assert length > 0 and offset >= 0
        ranges = [
            base + np.arange(offset, len(tokens) - length + 1, length)
            for base, tokens in zip(self._bases[:-1], self._tokens, strict=True)
        ]
        return np.concatenate(ranges).astype(np.int64)

    def read(self, starts: Ids, length: int) -> Ids:
        """The windows (B,) at `starts`: (B, length)."""
        windows = np.empty((len(starts), length), np.int64)
        for row, start in enumerate(starts):
            shard = self._shard_of(int(start))
            local = int(start - self._bases[shard])
            windows[row] = self._tokens[shard][local : local + length]
        return windows

    def sentence_starts(self, start: int, length: int) -> Ids:
        """Where sentences begin inside the window, counted from its own first token."""
        shard = self._shard_of(start)
        local = start - self._bases[shard]
        first, last = np.searchsorted(self._sentences[shard], [local, local + length])
        return (self._sentences[shard][first:last] - local).astype(np.int64)

    def _shard_of(self, position: int) -> int:
        return int(np.searchsorted(self._bases, position, side="right")) - 1


def _map(directory: Path, name: str, number: int) -> npt.NDArray[Any]:
    return np.load(_path(directory, name, number), mmap_mode="r")
