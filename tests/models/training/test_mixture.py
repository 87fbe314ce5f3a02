"""Parts take turns in their shares, each with the stream it would have alone."""

from collections.abc import Iterator
from itertools import count, islice

import pytest
import torch
from torch import nn

from qdts.models.training.mixture import Mixture, Part
from qdts.models.training.task import Outcome


class Numbers:
    """Batches are base, base + 1, ..."""

    def __init__(self, base: int) -> None:
        self.base = base

    def batches(self) -> Iterator[int]:
        return count(self.base)

    def loss(self, net: nn.Module, batch: int) -> Outcome:
        return Outcome(loss=torch.tensor(float(batch)), num_tokens=3, report={"accuracy": 0.5}, flops=7.0)


def mixture(*shares: float) -> Mixture:
    return Mixture([Part(name=f"part{i}", task=Numbers(1000 * i), share=share) for i, share in enumerate(shares)])


@pytest.mark.parametrize("shares", [(0.5, 0.5), (3.0, 1.0), (0.2, 0.3, 0.5), (1.0, 1e-3)])
def test_no_part_is_ever_a_step_behind_its_share(shares: tuple[float, ...]) -> None:
    taken = [0] * len(shares)
    for step, (which, _) in enumerate(islice(mixture(*shares).batches(), 300), 1):
        taken[which] += 1
        for number, share in zip(taken, shares, strict=True):
            assert abs(number - step * share / sum(shares)) < len(shares)


def test_each_part_reads_its_own_stream_in_order() -> None:
    batches = list(islice(mixture(1.0, 2.0).batches(), 60))
    for part in range(2):
        mine = [batch for which, batch in batches if which == part]
        assert mine == list(range(1000 * part, 1000 * part + len(mine)))


@pytest.mark.parametrize("step", [1, 2, 17])
def test_skipped_batches_change_nothing_after_them(step: int) -> None:
    whole = list(islice(mixture(0.3, 0.7).batches(), step + 10))
    assert list(islice(mixture(0.3, 0.7).batches_from(step), 10)) == whole[step:]


def test_a_report_says_whose_it_is() -> None:
    outcome = mixture(0.0, 1.0).loss(nn.Identity(), (0, 5))
    assert (outcome.report, outcome.num_tokens, outcome.flops) == ({"part1_accuracy": 0.5}, 3, 7.0)


def test_shares_of_nothing_are_an_error() -> None:
    with pytest.raises(ValueError, match="shares must not all be 0: part0, part1"):
        mixture(0.0, 0.0)
