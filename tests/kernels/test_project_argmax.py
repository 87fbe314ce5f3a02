"""The fused argmax against the specification: whole numbers, so that ties are ties, in odd sizes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from qdts.kernels import reference

pytest.importorskip("triton", reason="kernels need Triton")
from qdts.kernels.project_argmax import cost, plan, project_argmax  # noqa: E402

Make = Callable[..., Tensor]


@pytest.fixture
def whole(device: torch.device, dtype: torch.dtype) -> Make:
    """Whole numbers from -2 to 2: products and sums of them are exact, and often equal."""
    generator = torch.Generator().manual_seed(5)
    return lambda *shape: torch.randint(-2, 3, shape, generator=generator).to(device, dtype)


@pytest.mark.parametrize(
    ("num_rows", "width", "num_words"),
    [(1, 16, 1), (1, 70, 129), (16, 64, 128), (17, 33, 300), (130, 16, 500)],
)
def test_it_is_the_specification(num_rows: int, width: int, num_words: int, whole: Make) -> None:
    hidden, weight = whole(num_rows, width), whole(num_words, width)
    assert torch.equal(project_argmax(hidden, weight, 0.5), reference.project_argmax(hidden, weight, 0.5))


def test_the_lowest_id_wins_within_and_across_blocks(whole: Make) -> None:
    hidden, weight = whole(3, 32), whole(400, 32)
    weight[[5, 70, 71, 390]] = 3 * hidden[0].sign()  # four equals, above all others
    chosen = project_argmax(hidden, weight)
    assert chosen[0] == 5
    assert torch.equal(chosen, reference.project_argmax(hidden, weight, 1.0))


def test_every_word_can_be_chosen(device: torch.device) -> None:
    weight = torch.eye(150, device=device)
    assert project_argmax(weight.clone(), weight).tolist() == list(range(150))


def test_all_scores_may_be_negative(device: torch.device, dtype: torch.dtype) -> None:
    # What lies beyond the vocabulary within a block scores 0 before it is masked.
    hidden, weight = torch.ones(1, 16, device=device, dtype=dtype), -torch.ones(3, 16, device=device, dtype=dtype)
    weight[1] *= 0.5
    assert project_argmax(hidden, weight).tolist() == [1]


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_an_overflown_state_still_gives_an_id_of_the_vocabulary(device: torch.device) -> None:
    hidden = torch.full((1, 16), float("nan"), device=device)
    assert 0 <= int(project_argmax(hidden, torch.eye(16, device=device))) < 16


def test_arguments_that_do_not_fit_are_named(whole: Make) -> None:
    hidden, weight = whole(2, 16), whole(5, 16)
    bad = {
        r"hidden must have the shape \(any, any\)": (hidden[0], weight),
        r"weight must have the shape \(any, 16\), has \(5, 8\)": (hidden, weight[:, :8]),
        "weight must be contiguous": (hidden, whole(16, 5).T),
        "weight must have at least 1 row, has 0": (hidden, weight[:0]),
        "weight must be one of": (hidden, weight.double()),
    }
    for message, inputs in bad.items():
        with pytest.raises(ValueError, match=message):
            plan(*inputs)


def test_cost_does_not_count_scores() -> None:
    few, more = (cost(num_rows=1, width=8, num_words=words, item_bytes=2) for words in (10, 11))
    assert more.num_bytes - few.num_bytes == 8 * 2
