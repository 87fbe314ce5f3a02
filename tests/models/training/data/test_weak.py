"""Rows made from prose: answered by their document, each kind at its share, the same for the same seed."""

import random
from collections import Counter
from typing import Any

import pytest

from qdts.models.evaluation.samples import load_row_file
from qdts.models.text.words import content_stems
from qdts.models.training.data.config import WeakConfig
from qdts.models.training.data.pages import Page, parse_page
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.data.weak import Rarity, WeakMaker, weak_rows

KINDS = ("heading", "lead", "definition", "keywords", "cloze")


def only(kind: str) -> WeakConfig:
    shares: dict[str, Any] = {name: float(name == kind) for name in KINDS}
    return WeakConfig(**shares, typo_share=0.0)


def rows_of(page_text: str, kind: str) -> list[TrainRow]:
    return list(weak_rows(page_text, random.Random(0), per_document=30, config=only(kind)))


def test_rows_hold_their_reference(rows: list[TrainRow], prose: str) -> None:
    assert len(rows) > 20
    for row in rows:
        assert row.reference in row.document and row.document in prose
        assert 8 <= len(row.reference.split()) <= 40
        assert row.title in ("", "Engines") and row.query.strip() and row.is_extractive
    assert 0.2 < sum(row.title != "" for row in rows) / len(rows) < 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_answered_by_its_document(kind: str, page_text: str) -> None:
    rows = rows_of(page_text, kind)
    assert rows and {row.kind for row in rows} == {f"prose-{kind}"}
    assert all(row.reference in row.document for row in rows)


def test_headings_ask_for_what_stands_under_them(page_text: str) -> None:
    rows = rows_of(page_text, "heading")
    for row in rows:
        stems = set(content_stems(row.query))
        if "history" in stems:
            assert row.reference.startswith("In the early years")
        elif "book" in stems:
            assert row.reference.startswith("Passengers reserve a berth")
        else:
            assert row.reference.startswith("Dinner is served")
    assert not any("see also" in row.query.lower() for row in rows), "a heading of every page asks for nothing"


def test_a_heading_does_not_always_stand_above_its_answer(page_text: str) -> None:
    booking = [row for row in rows_of(page_text, "heading") if "book" in content_stems(row.query)]
    given = [f"Booking a berth\n{row.reference[:10]}" in row.document for row in booking]
    assert any(given) and not all(given)


def test_leads_and_definitions(page_text: str) -> None:
    lead = "A night train is a train"
    assert all(
        row.reference.startswith(lead) and "night trains" in row.query.lower() for row in rows_of(page_text, "lead")
    )
    definitions = rows_of(page_text, "definition")
    assert all(row.reference.startswith(lead) and "night train" in row.query.lower() for row in definitions)


def test_keywords_are_the_rarest_words_of_their_sentence(page_text: str) -> None:
    for row in rows_of(page_text, "keywords"):
        words = row.query.split()
        assert 2 <= len(words) <= 5
        assert set(content_stems(row.query)) <= set(content_stems(row.reference))


def test_rarity() -> None:
    rarity = Rarity(["the engine ran", "the engine stood", "the mill stood"])
    assert rarity.of("mill") > rarity.of("engines") > rarity.of("the") == rarity.of("--") == 0


def test_kinds_keep_their_shares() -> None:
    pages = [parse_page(f"{row.title}\n{row.document}") for row in load_row_file()]
    config = WeakConfig(heading=0, lead=1, definition=0, keywords=2, cloze=3)
    maker = WeakMaker(Rarity([]), random.Random(0), config)
    made = Counter(row.kind for page in pages if page for row in maker.rows(page, 3))
    assert made["prose-cloze"] / made.total() == pytest.approx(1 / 2, abs=0.1)
    assert made["prose-keywords"] / made.total() == pytest.approx(1 / 3, abs=0.1)


def test_no_query_twice_on_a_page(page: Page) -> None:
    queries = [row.query for row in WeakMaker(Rarity([]), random.Random(0), WeakConfig()).rows(page, 40)]
    assert len(queries) == len(set(queries)) > 10


def test_rows_repeat_exactly_with_their_seed(page_text: str) -> None:
    made = [list(weak_rows(page_text, random.Random(seed), per_document=9)) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("text", ["", "Title alone", "Title\nOne sentence is too few."])
def test_a_document_with_too_few_sentences_makes_none(text: str) -> None:
    assert list(weak_rows(text, random.Random(0), per_document=9)) == []
