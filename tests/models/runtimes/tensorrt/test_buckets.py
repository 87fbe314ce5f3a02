"""Buckets hold what they are asked to, and are few."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.runtimes.tensorrt.buckets import group_by_length, length_bucket, rows_bucket


def test_rows_are_padded_to_powers_of_two() -> None:
    assert [rows_bucket(count, 8) for count in range(1, 9)] == [1, 2, 4, 4, 8, 8, 8, 8]


def test_lengths_are_padded_to_a_multiple_but_not_past_the_limit() -> None:
    assert [length_bucket(length, 100) for length in (1, 64, 65, 100)] == [64, 64, 100, 100]


@pytest.mark.parametrize("count", [0, 9])
def test_what_no_bucket_holds_is_our_bug(count: int) -> None:
    with pytest.raises(AssertionError):
        rows_bucket(count, 8)
    with pytest.raises(AssertionError):
        length_bucket(count, 8)


@given(lengths=st.lists(st.integers(1, 512), max_size=40), max_rows=st.integers(1, 8), max_tokens=st.integers(64, 2048))
def test_groups_hold_each_document_once_within_the_bounds(lengths: list[int], max_rows: int, max_tokens: int) -> None:
    groups = list(group_by_length(lengths, max_rows=max_rows, max_tokens=max_tokens))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert 1 <= len(group) <= max_rows
        assert len(group) == 1 or len(group) * max(lengths[index] for index in group) <= max_tokens


def test_groups_are_of_neighbours_in_length() -> None:
    assert list(group_by_length([9, 1, 8, 2], max_rows=2, max_tokens=100)) == [[1, 3], [2, 0]]
