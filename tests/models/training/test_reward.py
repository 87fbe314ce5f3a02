"""Each part on cases worked out by hand; what must never rise when a summary gets worse; the total's bounds."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.evaluation.metrics import copied_share
from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.semantic import Embedder
from qdts.models.text.extractive import quote
from qdts.models.text.sentences import split_sentences
from qdts.models.training import reward as parts
from qdts.models.training.reward import Reward, RewardConfig, Rewarded, fresh_share, overlap

DOCUMENT = (
    "The engine was built in Derby by a firm that is long gone. It weighed nine tonnes and pulled six coaches. "
    "Its driver was Mary Hill, who later trained the crew of the night mail."
)
ROW = Rewarded(
    query="Who drove the engine?",
    document=DOCUMENT,
    reference="Its driver was Mary Hill, who later trained the crew of the night mail.",
    answers=("Mary Hill",),
)
BEST = ROW.reference
WORST = "It weighed nine tonnes and pulled six coaches."


REWARD = Reward(RewardConfig())


def part(name: str, *sentences: str, row: Rewarded = ROW) -> float:
    return REWARD.score(row, sentences).parts[name]


def test_every_part_has_a_weight() -> None:
    assert {field.name for field in fields(RewardConfig)} == {*parts.PARTS, "min_words", "max_words"}


def test_answer_is_contained_or_not() -> None:
    assert part(parts.ANSWER, BEST) == 1
    assert part(parts.ANSWER, WORST) == 0
    assert part(parts.ANSWER, "Mary Hillside drove.") == 0


def test_without_a_known_answer_the_overlap_stands_for_it() -> None:
    row = replace(ROW, answers=())
    assert part(parts.ANSWER, WORST, row=row) == part(parts.OVERLAP, WORST) < part(parts.ANSWER, BEST, row=row) == 1


def test_overlap_is_the_mean_of_rouge_l_and_recall() -> None:
    # Common subsequence 2 of 4 and 3 words: F1 4/7. Words found: 2 of 3.
    assert overlap("the cat sat down", "the cat slept") == pytest.approx((4 / 7 + 2 / 3) / 2)
    assert overlap("anything", "?") == 0


def test_support_is_the_share_of_copied_4grams() -> None:
    assert part(parts.SUPPORT, WORST) == 1
    assert part(parts.SUPPORT, "It weighed nine tonnes of coal.") == pytest.approx(1 / 3)
    assert part(parts.SUPPORT, "Nobody knows who that was.") == 0


@pytest.mark.parametrize(("words", "expected"), [(1, 1 / 8), (4, 0.5), (8, 1), (35, 1), (42, 0.8), (70, 0), (200, 0)])
def test_length_is_best_inside_the_band(words: int, expected: float) -> None:
    assert part(parts.LENGTH, "word " * words) == pytest.approx(expected)


def test_whole_sentences_are_better_than_cut_ones() -> None:
    assert part(parts.WHOLE, "The engine was built in Derby by a firm that is long gone.") == 1
    assert part(parts.WHOLE, "The engine was built in Derby by") == 0.5
    assert part(parts.WHOLE, "engine was built in Derby by") == 0
    assert part(parts.WHOLE, "It weighed nine tonnes and pulled six coaches.") == 0.5


def test_fresh_is_the_share_of_different_runs_of_three() -> None:
    assert fresh_share(["a b c d"]) == 1
    assert fresh_share(["a b c d", "A b c d."]) == 0.5
    assert fresh_share(["a b", "a b"]) == 0.5
    assert fresh_share(["..."]) == 1


def test_cosines_are_those_of_the_embedder_clipped(embedder: Embedder) -> None:
    score = Reward(RewardConfig(), embedder).score(ROW, [BEST])
    assert score.parts[parts.REFERENCE] == pytest.approx(1)
    assert 0 <= score.parts[parts.QUERY] < 1
    assert 0 < score.total < 1


def test_parts_that_do_not_apply_are_absent_and_weigh_nothing(embedder: Embedder) -> None:
    bare = Rewarded(query="q", document=DOCUMENT)
    score = REWARD.score(bare, [WORST])
    assert set(score.parts) == {parts.SUPPORT, parts.LENGTH, parts.WHOLE, parts.FRESH}
    weights = {name: getattr(REWARD.config, name) for name in score.parts}
    expected = sum(weights[name] * score.parts[name] for name in weights) / sum(weights.values())
    assert score.total == pytest.approx(expected)
    with_cosines = Reward(RewardConfig(), embedder)
    assert parts.REFERENCE not in with_cosines.score(bare, [WORST]).parts
    assert set(with_cosines.score(ROW, [WORST]).parts) == set(parts.PARTS)
    no_words = replace(ROW, answers=("?", ""))
    assert REWARD.score(no_words, [BEST]).parts[parts.ANSWER] == part(parts.OVERLAP, BEST)


@pytest.mark.parametrize("summary", [[], [""], [" ", "\n"]])
def test_an_empty_summary_earns_nothing(summary: list[str], embedder: Embedder) -> None:
    for reward in (REWARD, Reward(RewardConfig(), embedder)):
        score = reward.score(ROW, summary)
        assert (score.total, score.parts) == (0.0, {})


def test_many_are_scored_like_one_by_one_with_one_call_of_the_embedder(embedder: Any) -> None:
    rows = [
        Rewarded(query=r.query, title=r.title, document=r.document, reference=r.references[0], answers=r.answers)
        for r in load_row_file()[::9]
    ]
    items = [row for row in rows for _ in range(3)]
    summaries: list[list[str]] = []
    for row in rows:
        sentences = [quote(span, row.document) for span in split_sentences(row.document)]
        summaries += [sentences[:1], [row.reference], []]
    reward = Reward(RewardConfig(), embedder)
    together = reward.score_many(items, summaries)
    assert embedder.num_calls == 1
    for item, summary, score in zip(items, summaries, together, strict=True):
        alone = reward.score(item, summary)
        assert alone.total == pytest.approx(score.total)
        assert alone.parts == pytest.approx(score.parts)
    # The reference is what people wrote for the query: it earns more than the lead.
    assert np.mean([s.total for s in together[1::3]]) > np.mean([s.total for s in together[0::3]]) + 0.2


def test_each_item_needs_its_summary() -> None:
    with pytest.raises(ValueError, match="argument"):
        REWARD.score_many([ROW, ROW], [[BEST]])


WORDS = st.lists(st.sampled_from("engine the built nine tonnes it Mary Hill, x y. 7".split()), max_size=12)
SENTENCES = st.lists(WORDS.map(" ".join) | st.sampled_from([BEST, WORST]), max_size=4)


@given(SENTENCES)
def test_total_and_parts_stay_in_bounds(sentences: list[str]) -> None:
    score = REWARD.score(ROW, sentences)
    assert all(0 <= value <= 1 for value in (score.total, *score.parts.values()))


@given(SENTENCES, st.lists(st.sampled_from("zz qq ww ee".split()), min_size=1, max_size=9))
def test_an_unsupported_sentence_never_raises_support(sentences: list[str], invented: list[str]) -> None:
    assert copied_share([" ".join(invented)], DOCUMENT) == 0
    before = REWARD.score(ROW, sentences).parts.get(parts.SUPPORT, 1.0)
    assert part(parts.SUPPORT, *sentences, " ".join(invented)) <= before


@given(SENTENCES.filter(lambda s: any(map(str.strip, s))), st.data())
def test_saying_a_sentence_again_never_makes_it_fresher(sentences: list[str], data: Any) -> None:
    again = data.draw(st.sampled_from(sentences))
    assert fresh_share([*sentences, again]) <= fresh_share(sentences)


@given(st.integers(35, 200), st.integers(1, 50))
def test_more_words_beyond_the_band_never_help(words: int, more: int) -> None:
    assert part(parts.LENGTH, "word " * (words + more)) <= part(parts.LENGTH, "word " * words)


@given(SENTENCES, WORDS)
def test_a_contained_answer_stays_contained(sentences: list[str], more: list[str]) -> None:
    before = REWARD.score(ROW, sentences).parts.get(parts.ANSWER, 0.0)
    after = REWARD.score(ROW, [*sentences, " ".join(more)]).parts.get(parts.ANSWER, 0.0)
    assert after >= before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": -0.1}, "answer must be at least 0, is -0.1"),
        ({name: 0.0 for name in parts.PARTS}, "one of answer, .* must be above 0"),
        ({"min_words": 0}, r"min_words must lie in \[1, max_words = 35\], is 0"),
        ({"max_words": 5}, r"min_words must lie in \[1, max_words = 5\], is 8"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RewardConfig(**changes)
