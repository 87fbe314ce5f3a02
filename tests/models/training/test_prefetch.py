"""Items come in order, whatever makes them; faults come through; the thread ends."""

import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest

from qdts.models.training.prefetch import prefetch


@pytest.mark.parametrize("size", [0, 1, 3])
def test_order_is_kept(size: int) -> None:
    assert list(prefetch(iter(range(20)), size)) == list(range(20))
    assert list(islice(prefetch(count(), size), 20)) == list(range(20))


@pytest.mark.parametrize("size", [0, 2])
def test_a_fault_comes_in_its_place(size: int) -> None:
    def faulty() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    items = prefetch(faulty(), size)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


def test_items_are_made_ahead_and_no_further() -> None:
    made: list[int] = []
    items = prefetch((made.append(number) or number for number in count()), 3)
    assert next(items) == 0
    items.close()  # waits for the thread
    assert 1 <= len(made) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
