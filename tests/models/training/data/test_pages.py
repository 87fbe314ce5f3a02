"""Titles, headings and sentences that can answer."""

import pytest

from qdts.models.training.data.pages import Page, parse_page


def test_title_and_headings(page: Page) -> None:
    assert page.title == "Night trains"
    assert [page.sentence(i) for i in sorted(page.headings)] == [
        "History",
        "Booking a berth",
        "See also",
        "Food and drink",
    ]
    assert sum(page.num_words) == len(page.text.split())


def test_answers_are_whole_sentences_of_prose(page: Page) -> None:
    for index in page.answers:
        text = page.sentence(index)
        assert index not in page.headings
        assert text.endswith(".") and 8 <= len(text.split()) <= 40


@pytest.mark.parametrize(
    "line",
    [
        "- A list item of some words that goes on for long enough.",
        "Note: the guard lit them one by one with a pole at dusk.",
        "Key Points - the guard lit them one by one with a pole.",
        "for example the guard lit them one by one with a pole.",
        "The guard lit them one by one with a long pole at:",
        "Too short.",
    ],
)
def test_what_leans_on_something_else_answers_nothing(line: str, page_text: str) -> None:
    page = parse_page(f"{page_text}\n\n{line}\n")
    assert page is not None
    assert not [i for i in page.answers if page.sentence(i) == line]


@pytest.mark.parametrize("line", ["- item", "1. First steps", "A sentence that ends.", "for lower case", "Ends with:"])
def test_what_is_no_heading(line: str) -> None:
    page = parse_page(
        f"T\n\nOne two three four five six.\n\n{line}\nSeven eight nine ten eleven twelve words.\n\nA b c. D e f."
    )
    assert page is not None and not page.headings


@pytest.mark.parametrize("text", ["", "Title", "Title\n\nOne. Two. Three."])
def test_a_page_of_a_few_sentences_is_none(text: str) -> None:
    assert parse_page(text) is None


def test_a_long_first_line_is_no_title() -> None:
    page = parse_page("word " * 40 + "\nOne is. Two is. Three is. Four is.")
    assert page is not None and page.title == ""
