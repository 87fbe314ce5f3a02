"""The best candidate against a worse one; pairs are read as they were written, each once an epoch."""

import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdts.models.copy_source import copy_state
from qdts.models.document import Document
from qdts.models.evaluation.samples import load_row_file
from qdts.models.prompt import Prompt, PromptBuilder
from qdts.models.training.candidates import Candidate, Candidates
from qdts.models.training.pairs import PairConfig, PairSet, choose_pair, write_pairs
from qdts.models.training.policy import walk


def candidate(reward: float, tokens: Sequence[int] = (1,), log_prob: float = -1.0) -> Candidate:
    return Candidate(tokens=tuple(tokens), num_words=9, num_draws=1, log_prob=log_prob, reward=reward)


def rewards(found: tuple[Candidate, Candidate] | None) -> tuple[float, float] | None:
    return found and (found[0].reward, found[1].reward)


def test_the_best_against_the_worst_or_any_that_is_worse_enough() -> None:
    candidates = [candidate(reward) for reward in (0.5, 0.9, 0.1, 0.85, 0.6)]
    rng = random.Random(0)
    assert rewards(choose_pair(candidates, PairConfig(min_gap=0.2, rejected="worst"), rng)) == (0.9, 0.1)
    config = PairConfig(min_gap=0.2, rejected="random")
    assert {rewards(choose_pair(candidates, config, rng)) for _ in range(60)} == {(0.9, r) for r in (0.5, 0.1, 0.6)}
    assert choose_pair(candidates, PairConfig(min_gap=0.81), rng) is None
    assert choose_pair(candidates[:1], PairConfig(), rng) is None


def test_among_equals_the_first_is_chosen() -> None:
    equals = [candidate(0.9, (5, 1)), candidate(0.9, (6, 1)), candidate(0.1, (7, 1)), candidate(0.1, (8, 1))]
    found = choose_pair(equals, PairConfig(rejected="worst"), random.Random(0))
    assert found is not None and (found[0].tokens[0], found[1].tokens[0]) == (5, 7)


@pytest.mark.parametrize("gap", [0.0, -0.5, 1.5])
def test_a_bad_gap_is_named(gap: float) -> None:
    with pytest.raises(ValueError, match=rf"min_gap must lie in \(0, 1\], is {gap}"):
        PairConfig(min_gap=gap)


def random_walk(prompt: Prompt, rng: random.Random) -> list[int]:
    state, tokens = copy_state(prompt, trims=True), list[int]()
    while not state.finished:
        tokens.append(rng.choice(state.allowed().tolist()))
        state.advance(tokens[-1])
    return tokens


@pytest.fixture(scope="module")
def rows(builder: PromptBuilder) -> list[tuple[Prompt, Candidates]]:
    """The last row gives no pair."""
    rng = random.Random(1)
    found: list[tuple[Prompt, Candidates]] = []
    for index, row in enumerate(load_row_file()[:12]):
        document = Document(text=row.document[: 200 + 40 * index])
        prompt = builder.build(row.query, document, max_words=30)
        both = (
            candidate(0.25, random_walk(prompt, rng), -index - 1 / 3),
            candidate(0.75, random_walk(prompt, rng), -index - 1 / 7),
        )
        found.append((prompt, Candidates(key=str(index), candidates=both)))
    prompt = found[0][0]
    return [*found, (prompt, Candidates(key="alike", candidates=(candidate(0.5, random_walk(prompt, rng)),) * 2))]


@pytest.fixture
def pairs(rows: list[tuple[Prompt, Candidates]], tmp_path: Path) -> PairSet:
    count = write_pairs(tmp_path / "pairs", rows, PairConfig(), trims=True, seed=0, about={"seed": 0})
    assert count == len(rows) - 1
    return PairSet(tmp_path / "pairs")


def test_written_and_read(pairs: PairSet, rows: list[tuple[Prompt, Candidates]]) -> None:
    assert len(pairs) == len(rows) - 1 and pairs.about == {"seed": 0}
    assert pairs.gaps() == [0.5] * len(pairs)
    for pair, (prompt, candidates) in zip(pairs, rows, strict=False):
        for name in ("encoder_ids", "features", "prefix"):
            assert np.array_equal(getattr(pair, name), getattr(prompt, name)), "to the bit"
        for side, one in zip((pair.rejected, pair.chosen), candidates.candidates, strict=True):
            assert (side.reward, side.log_prob) == (one.reward, one.log_prob)
            expected = walk(copy_state(prompt, trims=True), one.tokens)
            assert side.walk.tokens.tolist() == expected.tokens.tolist()
            assert side.walk.places.tolist() == expected.places.tolist()
            assert [o.tolist() for o in side.walk.options] == [o.tolist() for o in expected.options]


def test_a_walk_that_the_setting_forbids_is_an_error(rows: list[tuple[Prompt, Candidates]], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of those allowed"):
        write_pairs(tmp_path / "pairs", rows, PairConfig(), trims=False, seed=0, about={})
    assert not (tmp_path / "pairs").exists()


def keys(batch: Sequence[Any]) -> list[float]:
    return [pair.chosen.log_prob for pair in batch]


def test_an_epoch_reads_every_pair_once_within_the_budget(pairs: PairSet) -> None:
    budget = 2 * int(pairs.encoder_lens.max())
    stream, seen = pairs.batches(budget, seed=3), list[float]()
    while len(seen) < len(pairs):
        batch = next(stream)
        assert len(batch) * max(len(pair.encoder_ids) for pair in batch) <= budget
        seen += keys(batch)
    assert sorted(seen) == sorted(keys(list(pairs)))
    assert all(len(batch) == 1 for batch in islice(pairs.batches(1, seed=3), 5)), "one too long stands alone"


def test_the_stream_repeats_with_its_seed_and_can_begin_anywhere(pairs: PairSet) -> None:
    budget = 2 * int(pairs.encoder_lens.max())
    whole = [keys(batch) for batch in islice(pairs.batches(budget, 3), 20)]
    assert [keys(batch) for batch in islice(pairs.batches(budget, 3, first=11), 9)] == whole[11:]
    assert [keys(batch) for batch in islice(pairs.batches(budget, 4), 20)] != whole
