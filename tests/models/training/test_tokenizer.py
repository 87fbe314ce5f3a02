"""A tokenizer is learned with the special tokens in their places."""

from pathlib import Path

from qdts.models.tokenizer import SPECIAL_TOKENS, Tokenizer
from qdts.models.training.tokenizer import train_tokenizer


def test_it_has_the_size_asked_for_and_knows_common_words(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 600
    assert len(tokenizer.encode("the engine")) == 2


def test_any_byte_has_an_id(tokenizer: Tokenizer) -> None:
    text = "".join(char for char in map(chr, range(500)) if not char.isspace())
    assert tokenizer.decode(tokenizer.encode(text).tolist()) == text


def test_training_repeats_exactly(tokenizer_path: Path, prose: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train_tokenizer(iter([prose, "twice"]), vocab_size=400, path=tmp_path / name / "tokenizer.json")
    first, second = ((tmp_path / name / "tokenizer.json").read_bytes() for name in ("a", "b"))
    assert first == second != tokenizer_path.read_bytes()


def test_a_small_vocabulary_still_holds_special_tokens_and_bytes(tmp_path: Path) -> None:
    train_tokenizer(iter(["x"]), vocab_size=10, path=tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json").vocab_size == len(SPECIAL_TOKENS) + 256
