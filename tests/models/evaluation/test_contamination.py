"""What counts as an evaluation row in disguise."""

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from qdts.models.evaluation.contamination import NGRAM_WORDS, Contamination
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file


@pytest.fixture
def contamination(engine_row: EvalRow) -> Contamination:
    return Contamination([engine_row, replace(engine_row, query="q2", document="Short text.", title="T")])


def test_an_equal_query(contamination: Contamination, engine_row: EvalRow) -> None:
    assert contamination.is_contaminated(engine_row.query.upper() + " ", "unrelated")
    assert not contamination.is_contaminated("", "unrelated")
    assert not contamination.is_contaminated("Who drove it?", "unrelated")


def test_a_query_is_its_words(contamination: Contamination, engine_row: EvalRow) -> None:
    assert contamination.is_contaminated(engine_row.query.rstrip("?").replace(" ", ", "), "unrelated")
    assert contamination.is_contaminated("Q2!", "unrelated")
    assert not contamination.is_contaminated(f"{engine_row.query} Mary", "unrelated")


def test_a_reference_and_an_id(engine_row: EvalRow) -> None:
    abstract = "An abstract that nobody would write in these very words unless they had read the evaluation set."
    contamination = Contamination([replace(engine_row, references=(abstract,))])
    assert contamination.is_contaminated("", f"Before. {abstract} After.")
    assert contamination.has_id("engine-1") and not contamination.has_id("engine-2") and not contamination.has_id("")


def test_an_equal_document_too_short_for_an_ngram(contamination: Contamination) -> None:
    assert contamination.is_contaminated("x", "short  TEXT.")
    assert contamination.is_contaminated("x", "T\nShort text.")
    assert not contamination.is_contaminated("x", "Short text. And more.")


def test_thirteen_words_in_a_row(contamination: Contamination, engine_row: EvalRow) -> None:
    words = engine_row.document.split()
    shared = " ".join(words[3 : 3 + NGRAM_WORDS])
    one_less = " ".join(words[3 : 2 + NGRAM_WORDS])
    assert contamination.is_contaminated("", f"Before, {shared.upper()} -- and after.")
    assert not contamination.is_contaminated("", f"Before, {one_less} -- and after.")


def test_no_rows_contaminate_nothing() -> None:
    assert not Contamination([]).is_contaminated("q", "word " * 40)


def test_real_rows_contaminate_themselves_and_no_others() -> None:
    rows = load_row_file()
    squad = [row for row in rows if row.set == "squad_dev"]
    others = [row for row in rows if row.set in ("doc2dial_val", "docs_gsa_digitalgov")]
    contamination = Contamination(squad)
    assert all(contamination.is_contaminated("", row.document) for row in squad)
    assert not any(contamination.is_contaminated(row.query, row.document) for row in others)


def test_it_means_the_same_in_another_process(contamination: Contamination, engine_row: EvalRow) -> None:
    """Python salts its own hashes per process; ours must not be."""
    program = (
        "import pickle, sys; contamination, text = pickle.load(sys.stdin.buffer); "
        "print(contamination.is_contaminated('', text))"
    )
    text = "Before, " + " ".join(engine_row.document.split()[2:20])
    packed = pickle.dumps((contamination, text))
    answer = subprocess.run([sys.executable, "-c", program], input=packed, capture_output=True, check=True)
    assert answer.stdout.strip() == b"True"
