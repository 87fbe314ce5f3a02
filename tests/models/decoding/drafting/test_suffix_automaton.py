"""The automaton is compared with a search through all substrings."""

from hypothesis import given
from hypothesis import strategies as st

from qdts.models.decoding.drafting.suffix_automaton import SuffixAutomaton

TEXTS = st.lists(st.integers(0, 2), max_size=40)


def longest_match(text: list[int]) -> int:
    """Length of the longest suffix that also ends earlier."""
    for length in range(len(text) - 1, 0, -1):
        suffix = text[-length:]
        if any(text[start : start + length] == suffix for start in range(len(text) - length)):
            return length
    return 0


@given(TEXTS)
def test_the_longest_suffix_that_stood_before_is_followed(text: list[int]) -> None:
    automaton = SuffixAutomaton()
    for count, token in enumerate(text, 1):
        automaton.extend([token])
        seen = text[:count]
        length = longest_match(seen)
        assert automaton.match_length == length
        if length:
            first = next(start for start in range(count) if seen[start : start + length] == seen[-length:])
            assert automaton.continuation(5) == seen[first + length :][:5]
        else:
            assert automaton.continuation(5) == []


@given(TEXTS, st.integers(0, 40))
def test_pieces_and_tokens_one_by_one_are_the_same(text: list[int], cut: int) -> None:
    whole, pieces = SuffixAutomaton(), SuffixAutomaton()
    whole.extend(text)
    pieces.extend(text[:cut])
    pieces.extend(text[cut:])
    assert (whole.match_length, whole.continuation(9)) == (pieces.match_length, pieces.continuation(9))


def test_a_match_does_not_cross_into_another_text() -> None:
    automaton = SuffixAutomaton()
    automaton.extend([1, 2, 3, 1, 2])
    assert automaton.match_length == 2
    automaton.reset_match()
    automaton.extend([3])
    assert automaton.match_length == 1


def test_the_number_of_states_is_linear() -> None:
    automaton = SuffixAutomaton()
    automaton.extend([(index * index) % 7 for index in range(2000)])
    assert len(automaton._states) <= 2 * 2000
