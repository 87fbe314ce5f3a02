"""Systems by name."""

import pytest

from qdts.errors import ConfigError
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.semantic import Embedder
from qdts.models.evaluation.systems import BASELINE_NAMES, RUNG_NAMES, baseline_system, rung_system


@pytest.mark.parametrize("name", BASELINE_NAMES)
def test_every_baseline_answers(name: str, engine_row: EvalRow, embedder: Embedder) -> None:
    system = baseline_system(name, embedder)
    output = system.summarise(engine_row)
    assert system.name == name
    assert all(sentence in engine_row.document for sentence in output.sentences)
    assert output.text == " ".join(output.sentences) != ""


@pytest.mark.parametrize("name", RUNG_NAMES)
def test_every_rung_keeps_to_its_words(name: str, engine_row: EvalRow) -> None:
    output = rung_system(name, max_words=7).summarise(engine_row)
    assert 0 < len(output.text.split()) <= 7
    assert output.facts == {"coverage": 1.0}


@pytest.mark.parametrize("name", ["bm25", "minilm_1"])
def test_an_unknown_name_or_a_missing_embedder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        baseline_system(name, embedder=None)
