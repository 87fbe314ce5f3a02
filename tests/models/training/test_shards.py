"""Shards hold the corpus, token for token, without what the evaluation holds; windows lie where they should."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdts.errors import ConfigError
from qdts.models.evaluation.contamination import Contamination
from qdts.models.evaluation.samples import load_row_file
from qdts.models.text.sentences import split_sentences
from qdts.models.tokenizer import END, Tokenizer
from qdts.models.training.data.corpus import SEPARATOR
from qdts.models.training.shards import ShardsConfig, TokenShards, run_shards

DOCUMENTS = [
    "Engines\nThe engine was built in Derby. It weighed nine tonnes.",
    "A museum shows things. Most are open.",
    "   \n  ",
    "Birds.",
]
KEPT = [text for text in DOCUMENTS if text.strip()]


@pytest.fixture
def config(tokenizer_path: Path, tmp_path: Path) -> ShardsConfig:
    path = tmp_path / "corpus.txt"
    path.write_text(f"\n{SEPARATOR}\n".join(DOCUMENTS) + "\n")
    return ShardsConfig(corpus=(path,), model=tokenizer_path.parent, out=tmp_path / "shards")


def expected_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return [id for span in split_sentences(text) for id in tokenizer.encode(span.of(text)).tolist()] + [END]


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_tokens_are_those_of_the_sentences(config: ShardsConfig, tokenizer: Tokenizer) -> None:
    summary = run_shards(config)
    tokens, documents = (np.load(config.out / f"{name}-000.npy") for name in ("tokens", "documents"))
    rows = [expected_ids(tokenizer, text) for text in KEPT]
    assert tokens.dtype == np.uint16
    assert tokens.tolist() == [id for row in rows for id in row]
    assert documents.tolist() == np.cumsum([0, *map(len, rows)])[:-1].tolist()
    assert (summary.num_tokens, summary.num_documents, summary.num_shards) == (len(tokens), 3, 1)
    assert json.loads((config.out / "shards.json").read_text())["num_tokens"] == len(tokens)


def test_sentences_begin_where_they_begin(config: ShardsConfig, tokenizer: Tokenizer) -> None:
    shards = TokenShards(run_out(config))
    tokens = shards.read(np.array([0]), shards.num_tokens)[0]
    starts = shards.sentence_starts(0, shards.num_tokens)
    pieces = [tokenizer.decode(piece.tolist()) for piece in np.split(tokens, starts)[1:]]
    assert pieces == [span.of(text) for text in KEPT for span in split_sentences(text)]
    later = int(starts[1]) - 1
    assert shards.sentence_starts(later, 3).tolist() == [1]


def run_out(config: ShardsConfig) -> Path:
    run_shards(config)
    return config.out


def test_the_same_corpus_makes_the_same_files(config: ShardsConfig) -> None:
    first = files(run_out(config))
    assert files(run_out(replace(config, out=config.out / "again"))) == first


def test_many_shards_hold_what_one_holds(config: ShardsConfig) -> None:
    """Each is closed by the document that fills it, and older files are gone."""
    one = TokenShards(run_out(config))
    whole = one.read(np.array([0]), one.num_tokens)[0].tolist()
    many = TokenShards(run_out(replace(config, tokens_per_shard=1)))
    assert many.summary.num_shards == 3
    assert [id for start in many.window_starts(1) for id in many.read(np.array([start]), 1)[0]] == whole
    assert TokenShards(run_out(config)).summary == one.summary
    assert len(list(config.out.glob("tokens-*"))) == 1


@pytest.mark.parametrize("tokens_per_shard", [1, 1000])
@pytest.mark.parametrize(("length", "offset"), [(1, 0), (4, 0), (4, 3), (7, 2)])
def test_windows_lie_side_by_side_inside_their_shard(
    config: ShardsConfig, tokens_per_shard: int, length: int, offset: int
) -> None:
    shards = TokenShards(run_out(replace(config, tokens_per_shard=tokens_per_shard)))
    starts = shards.window_starts(length, offset)
    rows = [np.load(config.out / f"tokens-{n:03d}.npy") for n in range(shards.summary.num_shards)]
    expected = [row[at : at + length] for row in rows for at in range(offset, len(row) - length + 1, length)]
    assert shards.read(starts, length).tolist() == np.array(expected).reshape(-1, length).tolist()


def test_evaluation_documents_stay_out(config: ShardsConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(load_row_file())[:2]
    texts = [row.document for row in rows]
    config.corpus[0].write_text(f"\n{SEPARATOR}\n".join([*DOCUMENTS, *texts]))
    load: Callable[[Any, Path], Contamination] = lambda cls, path: Contamination(rows)  # noqa: E731
    monkeypatch.setattr(Contamination, "load", classmethod(load))
    summary = run_shards(replace(config, evaluation=config.out))
    assert (summary.num_contaminated, summary.num_documents) == (2, 3)
    assert run_shards(config).num_contaminated == 0


def test_another_tokenizer_is_refused(config: ShardsConfig, tokenizer_path: Path, tmp_path: Path) -> None:
    run_shards(config)
    TokenShards(config.out, tokenizer_path)
    other = tmp_path / "tokenizer.json"
    other.write_bytes(tokenizer_path.read_bytes() + b"\n")
    with pytest.raises(ConfigError, match="another tokenizer than"):
        TokenShards(config.out, other)


def test_shards_that_are_not_finished_are_refused(config: ShardsConfig) -> None:
    run_shards(config)
    (config.out / "shards.json").unlink()
    with pytest.raises(ConfigError, match="run the stage `shards`"):
        TokenShards(config.out)


def test_a_corpus_of_nothing_is_an_error(config: ShardsConfig) -> None:
    with pytest.raises(ValueError, match="no documents to write"):
        run_shards(replace(config, share=0.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": ()}, "corpus must name at least 1 file, names 0"),
        ({"share": 1.5}, r"share must lie in \[0, 1\], is 1.5"),
        ({"tokens_per_shard": 0}, "tokens_per_shard must be at least 1, is 0"),
    ],
)
def test_bad_settings_are_named(config: ShardsConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(config, **changes)
