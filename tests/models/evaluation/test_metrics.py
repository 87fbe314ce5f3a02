"""Our measures against the package rouge-score, and against values worked out by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from qdts.models.evaluation import metrics
from qdts.models.evaluation.metrics import (
    common_subsequence_len,
    contains_answer,
    copied_share,
    measure,
    rouge,
)
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file

SCORER = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)


def assert_same_as_rouge_score(text: str, reference: str) -> None:
    ours = rouge(text, reference)
    theirs = SCORER.score(reference, text)
    for our_value, their_name in (
        (ours.rouge_1, "rouge1"),
        (ours.rouge_2, "rouge2"),
        (ours.rouge_l, "rougeL"),
    ):
        assert our_value == pytest.approx(theirs[their_name].fmeasure, abs=1e-12)


def test_rouge_equals_rouge_score_on_real_sentences() -> None:
    rows = load_row_file()
    texts = [row.references[0] for row in rows]
    pairs = [*pairwise(texts), *((row.document, row.references[0]) for row in rows)]
    assert len(pairs) > 200
    for text, reference in pairs:
        assert_same_as_rouge_score(text, reference)


# No deadline: the machine, not the code, decides how long one example takes.
@settings(deadline=None)
@given(st.text("ab cé!3\n", max_size=40), st.text("ab cé!3\n", max_size=40))
def test_rouge_equals_rouge_score_on_odd_texts(text: str, reference: str) -> None:
    assert_same_as_rouge_score(text, reference)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_common_subsequence_equals_the_table(first: list[str], second: list[str]) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, ours in enumerate(first):
        for j, theirs in enumerate(second):
            longest = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if ours == theirs else longest
    assert common_subsequence_len(first, second) == table[-1][-1]


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("The driver was Mary Hill.", ("mary hill",), True),
        ("The driver was Mary Hill.", ("The Mary Hill!",), True),
        ("It cost £18 a week.", ("£18 a week per child", "£18"), True),
        ("It weighed nineteen tonnes.", ("nine",), False),
        ("A line.", ("the",), False),
        ("", ("Mary",), False),
    ],
)
def test_an_answer_counts_as_whole_words(text: str, answers: tuple[str, ...], expected: bool) -> None:
    assert contains_answer(text, answers) is expected


def test_copied_share_counts_within_sentences() -> None:
    document = "one two three four five. six seven eight nine ten."
    assert copied_share(["One two three four five.", "six, seven eight nine"], document) == 1.0
    assert copied_share(["one two three four six seven"], document) == pytest.approx(1 / 3)
    assert copied_share(["seven eight"], document) == 1.0
    assert copied_share(["eight seven"], document) == 0.0
    assert copied_share([" "], document) is None


def test_a_measure_that_does_not_apply_is_absent(engine_row: EvalRow) -> None:
    found = measure(["Mary Hill drove it."], engine_row)
    assert found[metrics.ANSWER_CONTAINED] == 1.0
    assert found[metrics.WORDS] == 4.0
    assert found[metrics.COPIED_4GRAMS] == 0.0
    without_answer = measure([], replace(engine_row, answers=()))
    assert metrics.ANSWER_CONTAINED not in without_answer
    assert metrics.COPIED_4GRAMS not in without_answer
    assert without_answer[metrics.ROUGE_L] == 0.0


def test_the_closest_reference_counts(engine_row: EvalRow) -> None:
    row = replace(engine_row, references=("Nothing alike.", "The line closed in 1964."))
    assert measure(["The line closed in 1964."], row)[metrics.ROUGE_L] == 1.0
