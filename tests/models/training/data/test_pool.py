"""Results keep their order; items are taken only as results are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qdts.models.training.data.pool import ordered_map

OFFSET = [0]


def start(offset: int) -> None:
    OFFSET[0] = offset


def shifted(item: int) -> int:
    if item < 0:
        raise ValueError("negative")
    return item + OFFSET[0]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_order_start_and_faults(num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other processes import this file by its name.
    monkeypatch.syspath_prepend(Path(__file__).parents[4])
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with ordered_map(num_workers, start, 1_000) as run:
        results = run(shifted, items())
        assert next(results) == 1_000
        assert len(taken) <= 4, "a stream may be endless"
        assert list(results) == list(range(1_001, 1_100))
        with pytest.raises(ValueError, match="negative"):
            list(run(shifted, [-1]))
