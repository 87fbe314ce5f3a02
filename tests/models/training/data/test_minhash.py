"""Signatures estimate the overlap of texts; the index finds near-duplicates in bounded memory."""

import random

import numpy as np
import pytest

from qdts.models.evaluation.ngrams import ngram_hashes
from qdts.models.training.data.minhash import NUM_HASHES, NearIndex, signature, similarity

WORDS = [f"word{i}" for i in range(3_000)]


def text(seed: int, size: int = 300) -> list[str]:
    return random.Random(seed).choices(WORDS, k=size)


def changed(words: list[str], num_changes: int, seed: int) -> list[str]:
    rng, words = random.Random(seed), list(words)
    for place in rng.sample(range(len(words)), num_changes):
        words[place] = "changed"
    return words


def jaccard(left: str, right: str) -> float:
    a, b = (set(ngram_hashes(t, 5).tolist()) for t in (left, right))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("num_changes", [0, 2, 5, 12, 40])
def test_similarity_estimates_jaccard(num_changes: int) -> None:
    """The mean over texts is within what 64 hashes of 20 texts can miss by chance."""
    errors: list[float] = []
    for seed in range(20):
        left, right = " ".join(text(seed)), " ".join(changed(text(seed), num_changes, seed))
        errors.append(similarity(signature(left), signature(right)) - jaccard(left, right))
    assert abs(np.mean(errors)) < 0.05
    assert max(map(abs, errors)) < 0.25


def test_punctuation_and_case_do_not_count_and_order_does() -> None:
    assert similarity(signature("The engine, built in Derby, ran."), signature("the ENGINE built in derby ran")) == 1
    assert similarity(signature("a b c d e f"), signature("f e d c b a")) < 0.2


def test_short_and_blank_texts_have_signatures() -> None:
    assert similarity(signature("two words"), signature("Two words!")) == 1
    assert similarity(signature("two words"), signature("three words")) < 0.1
    assert signature("").shape == signature("?!").shape == (NUM_HASHES,)


def test_a_long_text_is_hashed_in_blocks_to_the_same_effect() -> None:
    words = text(1, 9_000)
    whole = signature(" ".join(words))
    parts = [signature(" ".join(words[first : first + 3_004])) for first in range(0, 9_000, 3_000)]
    assert (whole == np.min(parts, axis=0)).all()


def test_near_duplicates_share_a_group_and_others_do_not() -> None:
    index = NearIndex(1_000, 0.8)
    groups = [index.place(signature(" ".join(text(seed)))) for seed in range(200)]
    assert groups == list(range(200))
    near = [index.place(signature(" ".join(changed(text(seed), 2, seed)))) for seed in range(200)]
    assert sum(a == b for a, b in zip(near, groups, strict=True)) > 190
    assert all(a == b or a >= 200 for a, b in zip(near, groups, strict=True))


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    index = NearIndex(100, 0.8)
    words = text(7, 400)
    first = index.place(signature(" ".join(words)))
    assert [index.place(signature(" ".join(words[k:]))) for k in (5, 10, 15)] == [first] * 3


def test_the_oldest_are_forgotten_and_nothing_grows() -> None:
    index = NearIndex(10, 0.8)
    for seed in range(25):
        index.place(signature(" ".join(text(seed))))
    assert index.place(signature(" ".join(text(0)))) == 25
    assert index.place(signature(" ".join(text(24)))) == 24


def test_a_capacity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1, is 0"):
        NearIndex(0, 0.8)
