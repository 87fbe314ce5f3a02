"""What a teacher says freely becomes what the document says, or nothing; and everything is counted."""

from typing import Any

import pytest

from qdts.models.evaluation.metrics import copied_share
from qdts.models.evaluation.samples import load_row_file
from qdts.models.training.teachers.grounding import GroundingConfig, ground

DOCUMENT = (
    "Engines\n\nThe engine was built in Derby in 1902, and it weighed nine tonnes. It pulled six\ncoaches. "
    "Its driver was Mary Hill, who later trained the crew of the night mail."
)
CONFIG = GroundingConfig()


@pytest.mark.parametrize(
    ("said", "quoted", "counts"),
    [
        # verbatim, white space aside
        (["It pulled six coaches."], ["It pulled six coaches."], (1, 0, 0)),
        (["It  pulled six coaches"], ["It pulled six coaches"], (1, 0, 0)),
        # nearly so: case, a word more or less, a clause
        (["it pulled six coaches!"], ["It pulled six coaches."], (0, 1, 0)),
        (["The engine was built in Derby in 1902."], ["The engine was built in Derby in 1902,"], (0, 1, 0)),
        (["Its driver was a woman, Mary Hill."], ["Its driver was Mary Hill,"], (0, 1, 0)),
        # two of the document's sentences in one
        (
            ["The engine was built in Derby in 1902, and it weighed nine tonnes and pulled six coaches."],
            ["The engine was built in Derby in 1902, and it weighed nine tonnes. It pulled six coaches."],
            (0, 1, 0),
        ),
        # in document order, without repeats
        (
            ["It pulled six coaches.", "Engines", "It pulled six coaches."],
            ["Engines", "It pulled six coaches."],
            (3, 0, 0),
        ),
        # invented
        (["Steam was a great invention of its time."], [], (0, 0, 1)),
        (["Coaches are slow.", "It pulled six coaches."], ["It pulled six coaches."], (1, 0, 1)),
        # part of a word is no quotation
        (["gine was buil"], [], (0, 0, 1)),
        ([], [], (0, 0, 0)),
        ([" ", "?!"], [], (0, 0, 2)),
    ],
)
def test_sentences_are_quoted_mapped_or_dropped(
    said: list[str], quoted: list[str], counts: tuple[int, int, int]
) -> None:
    found = ground(said, DOCUMENT, CONFIG)
    assert list(found.sentences) == quoted
    assert (found.num_verbatim, found.num_mapped, found.num_dropped) == counts
    assert found.support == (0 if not quoted else pytest.approx(1) if counts[1] == 0 else found.support)
    assert 0 <= found.support <= 1


def test_a_stricter_bound_drops_more() -> None:
    said = ["Its driver was a woman, Mary Hill."]
    strict = GroundingConfig(min_copied=1.0, min_rouge=1.0)
    assert ground(said, DOCUMENT, strict).num_dropped == 1
    assert ground(said, DOCUMENT, CONFIG).num_dropped == 0


def test_whatever_is_said_what_is_left_is_copied() -> None:
    """Each row is answered with sentences of its own reference, reworded, and with those of another row."""
    rows = load_row_file()[::10]
    num_kept = 0
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        reworded = row.references[0].replace(" the ", " its very ").replace(" is ", " was, he said, ")
        found = ground([reworded, other.references[0]], row.document, CONFIG)
        assert (copied_share(found.sentences, row.document) or 1.0) == 1.0
        assert [" ".join(span.of(row.document).split()) for span in found.spans] == list(found.sentences)
        num_kept += len(found.sentences) == 1
    assert num_kept > 0.7 * len(rows)


@pytest.mark.parametrize("document", ["", " \n", "、", "a" * 3000, ", " * 2000, "word, " * 1000])
def test_odd_documents_are_no_trouble(document: str) -> None:
    ground(["The engine was built in Derby.", "", document[:50]], document, CONFIG)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_copied": 0.0}, r"min_copied must lie in \(0, 1\], is 0.0"),
        ({"min_rouge": 1.5}, r"min_rouge must lie in \(0, 1\], is 1.5"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroundingConfig(**changes)
