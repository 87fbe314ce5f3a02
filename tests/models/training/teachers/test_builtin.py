"""Rankers propose, the reward chooses: better than the best BM25 sentence, with and without hindsight."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdts.models.evaluation.baselines import LEXICAL_BASELINES, pick_sentences
from qdts.models.evaluation.metrics import copied_share
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.semantic import Embedder
from qdts.models.summarizer import Summarizer, SummarizerConfig
from qdts.models.training.reward import Reward, RewardConfig
from qdts.models.training.teachers.base import TeacherOutput, TeacherRow
from qdts.models.training.teachers.builtin import BuiltinConfig, BuiltinTeacher

DOCUMENT = (
    "The engine was built in Derby in 1902, and it weighed nine tonnes. It pulled six coaches. "
    "Its driver was Mary Hill, who later trained the crew of the night mail, which ran between Leeds and York."
)
ROW = TeacherRow(query="Who drove the engine?", document=DOCUMENT)


def row_of(row: EvalRow) -> TeacherRow:
    return TeacherRow(
        query=row.query, title=row.title, document=row.document, reference=row.references[0], answers=row.answers
    )


def blind(row: TeacherRow) -> TeacherRow:
    return replace(row, reference="", answers=())


@pytest.fixture(scope="module")
def sample() -> list[EvalRow]:
    return load_row_file()[::2]


@pytest.fixture(scope="module")
def taught(sample: list[EvalRow]) -> list[TeacherOutput]:
    return BuiltinTeacher(BuiltinConfig(rankers=("bm25",)), None).summarise([row_of(row) for row in sample])


def rewards(rows: list[EvalRow], summaries: list[tuple[str, ...]]) -> list[float]:
    scores = Reward(RewardConfig()).score_many([row_of(row).rewarded() for row in rows], summaries)
    return [score.total for score in scores]


def test_hindsight_beats_the_best_bm25_sentence_on_the_sample(
    sample: list[EvalRow], taught: list[TeacherOutput]
) -> None:
    bm25 = rewards(sample, [pick_sentences(row, LEXICAL_BASELINES["bm25_1"]) for row in sample])
    ours = rewards(sample, [output.sentences for output in taught])
    assert np.mean(ours) > np.mean(bm25) + 0.1
    assert np.mean(np.array(ours) >= np.array(bm25) - 0.011) > 0.95  # but for what the tolerance gives away


def test_without_a_reference_it_still_beats_the_best_bm25_sentence(sample: list[EvalRow], embedder: Embedder) -> None:
    teacher = BuiltinTeacher(BuiltinConfig(), embedder)
    outputs = teacher.summarise([blind(row_of(row)) for row in sample])
    bm25 = rewards(sample, [pick_sentences(row, LEXICAL_BASELINES["bm25_1"]) for row in sample])
    assert np.mean(rewards(sample, [output.sentences for output in outputs])) > np.mean(bm25)


def test_what_it_says_is_copied_and_of_the_right_length(sample: list[EvalRow], taught: list[TeacherOutput]) -> None:
    for row, output in zip(sample, taught, strict=True):
        assert copied_share(output.sentences, row.document) == 1.0
        assert " ".join(output.text.split()) in " ".join(row.document.split())
        assert 0 < output.confidence <= 1
        assert output.provenance["source"].startswith("bm25")
    assert 8 < np.mean([len(output.text.split()) for output in taught]) < 35


def test_hindsight_cuts_to_the_clause_that_answers() -> None:
    row = replace(ROW, reference="Its driver was Mary Hill.", answers=("Mary Hill",))
    config = BuiltinConfig(rankers=("bm25",), reward=RewardConfig(min_words=4))
    [output] = BuiltinTeacher(config, None).summarise([row])
    assert output.text == "Its driver was Mary Hill,"
    [whole] = BuiltinTeacher(replace(config, num_trimmed=0), None).summarise([row])
    assert whole.text.startswith("Its driver was Mary Hill, who later trained")


def test_without_a_reference_no_sentence_is_cut() -> None:
    config = BuiltinConfig(rankers=("bm25",), max_sentences=1, reward=RewardConfig(min_words=5, max_words=9))
    [output] = BuiltinTeacher(config, None).summarise([replace(ROW, query="Where did the night mail run?")])
    assert output.text.startswith("Its driver")
    assert output.text.endswith("which ran between Leeds and York.")


def test_a_row_s_answer_does_not_depend_on_the_others(sample: list[EvalRow], embedder: Embedder) -> None:
    teacher = BuiltinTeacher(BuiltinConfig(), embedder)
    rows = [row_of(row) for row in sample[:4]]
    mixed = [rows[0], blind(rows[1]), *rows[2:], rows[0]]
    together = teacher.summarise(mixed)
    for row, output in zip(mixed, together, strict=True):
        [alone] = teacher.summarise([row])
        assert alone.sentences == output.sentences
        assert alone.confidence == pytest.approx(output.confidence)


@pytest.mark.parametrize("document", ["", " \n\n", "Word", "、、、", ", " * 200, "One. Two. Three."])
def test_odd_documents_are_no_trouble(document: str, embedder: Embedder) -> None:
    rows = [replace(ROW, document=document), replace(ROW, document=document, reference="One.", answers=("?",)), ROW]
    outputs = BuiltinTeacher(BuiltinConfig(), embedder).summarise(rows)
    assert [bool(output.sentences) for output in outputs] == [bool(document.strip())] * 2 + [True]
    assert BuiltinTeacher(BuiltinConfig(), embedder).summarise([]) == []


def test_our_own_model_proposes_too(summarizer_dir: Path, sample: list[EvalRow], embedder: Embedder) -> None:
    summarizer = Summarizer.load(summarizer_dir, SummarizerConfig(runtime="eager", precision="fp32"))
    rows = [*(row_of(row) for row in sample[:9]), replace(ROW, document=" ")]
    config = BuiltinConfig(rankers=("bm25",), num_proposed=1, max_sentences=1)
    alone = BuiltinTeacher(config, None)
    with_model = BuiltinTeacher(config, None, summarizer)
    assert with_model.settings != alone.settings
    before, after = alone.summarise(rows), with_model.summarise(rows)
    assert all(new.confidence >= old.confidence - 0.011 for old, new in zip(before, after, strict=True))
    assert any(output.provenance.get("source") == "model" for output in after)
    assert after[-1].sentences == ()


def test_settings_hold_what_changes_an_answer(embedder: Embedder) -> None:
    teacher = BuiltinTeacher(BuiltinConfig(), embedder)
    assert BuiltinTeacher(BuiltinConfig(batch_size=3), embedder).settings == teacher.settings
    assert BuiltinTeacher(BuiltinConfig(), None).settings != teacher.settings
    assert BuiltinTeacher(BuiltinConfig(reward=RewardConfig(answer=1.0)), embedder).settings != teacher.settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rankers": ()}, "rankers must name at least one of bm25, minilm"),
        ({"num_proposed": 0}, "num_proposed must be at least 1, is 0"),
        ({"num_trimmed": -1}, "num_trimmed must be at least 0, is -1"),
        ({"ranker_weight": 1.1}, r"ranker_weight must lie in \[0, 1\], is 1.1"),
        ({"tolerance": -0.1}, r"tolerance must lie in \[0, 1\], is -0.1"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BuiltinConfig(**changes)


def test_minilm_alone_needs_an_embedder() -> None:
    with pytest.raises(ValueError, match="minilm alone needs an embedder"):
        BuiltinTeacher(BuiltinConfig(rankers=("minilm",)), None)
