"""Queries look as people type them and keep what they ask for."""

import random

import pytest

from qdts.models.text.words import content_stems
from qdts.models.training.data.config import WeakConfig
from qdts.models.training.data.queries import as_typed, definition_query, lower_first, part_query, topic_query

RNGS = [random.Random(seed) for seed in range(200)]


def test_topics_take_many_forms_and_stay() -> None:
    queries = {topic_query("Night trains", rng) for rng in RNGS}
    assert {"Night trains", "what is Night trains", "Night trains definition"} <= queries
    assert all("Night trains" in query for query in queries)


@pytest.mark.parametrize(
    ("heading", "asked"),
    [("Installing fonts", "install fonts"), ("Create a table", "create a table"), ("Using Web Parts", "use Web Parts")],
)
def test_how_to(heading: str, asked: str) -> None:
    queries = {part_query(heading, "T", rng) for rng in RNGS}
    assert f"how to {asked}" in queries and f"How do I {asked}?" in queries
    assert all(asked in query for query in queries)


def test_a_heading_goes_with_its_title_unless_it_names_it() -> None:
    assert {"history of Anarchism", "Anarchism history"} <= {part_query("History", "Anarchism", rng) for rng in RNGS}
    assert not any(" of Anarchism" in part_query("Anarchism today", "Anarchism", rng) for rng in RNGS)
    assert {part_query("Who may apply?", "T", rng) for rng in RNGS} == {"Who may apply?"}


def test_a_name_is_not_asked_for_its_definition() -> None:
    assert not any("definition" in definition_query("Mary Hill", rng) for rng in RNGS)
    assert "define berth" in {definition_query("berth", rng) for rng in RNGS}


@pytest.mark.parametrize(
    ("text", "lowered"),
    [("Early life", "early life"), ("NATO", "NATO"), ("Leeds and York", "Leeds and York"), ("", ""), ("A", "a")],
)
def test_lower_first(text: str, lowered: str) -> None:
    assert lower_first(text) == lowered


def test_typing_at_its_shares() -> None:
    rng, query = random.Random(0), "What is (are) Night Trains??"
    plain = WeakConfig(lower_share=0.0, typo_share=0.0)
    assert as_typed(query, rng, plain) == "What is Night Trains?"
    typed = [
        as_typed("Where do Night trains run?", rng, WeakConfig(lower_share=0.5, typo_share=0.0)) for _ in range(400)
    ]
    assert 140 < sum(text.islower() for text in typed) < 260
    slips = [as_typed("night trains", rng, WeakConfig(lower_share=0.0, typo_share=0.1)) for _ in range(600)]
    assert 30 < sum(text != "night trains" for text in slips) < 90


def test_a_slip_is_one_letter() -> None:
    config = WeakConfig(lower_share=0.0, typo_share=1.0)
    for rng in RNGS:
        slip = as_typed("night trains", rng, config)
        assert abs(len(slip) - len("night trains")) <= 1
        assert len(set(content_stems(slip)) & {"night", "train"}) >= 1
        assert as_typed("a 1 b", rng, config) == "a 1 b"
