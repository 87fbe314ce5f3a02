"""Copy drafts continue what stood before."""

from qdts.models.decoding.drafting.copying import CopyDrafter

DOCUMENT = [10, 11, 12, 13, 14, 15, 16]


def test_a_run_of_the_prompt_is_continued() -> None:
    drafter = CopyDrafter([[30, 31], DOCUMENT])
    assert len(drafter.draft(9)) == 0
    drafter.extend([11])
    assert len(drafter.draft(9)) == 0, "one token is chance"
    drafter.extend([12])
    assert drafter.draft(9).tokens == [13, 14, 15, 16, 11, 12]
    assert drafter.draft(2).tokens == [13, 14]
    assert drafter.draft(2).is_chain


def test_a_short_match_is_trusted_less() -> None:
    drafter = CopyDrafter([DOCUMENT], per_match=1)
    drafter.extend([11, 12])
    assert drafter.draft(9).tokens == [13, 14]
    drafter.extend([13])
    assert drafter.draft(9).tokens == [14, 15, 16]


def test_the_output_is_a_source_too() -> None:
    drafter = CopyDrafter([DOCUMENT])
    drafter.extend([50, 51, 52, 53, 50, 51])
    assert drafter.draft(2).tokens == [52, 53]


def test_texts_of_a_prompt_are_not_read_across() -> None:
    drafter = CopyDrafter([[10, 11], [12, 13]], min_match=2)
    drafter.extend([11, 12])
    assert len(drafter.draft(9)) == 0 or drafter.draft(9).tokens[0] == 13
