"""The fused choice among permitted ids against the specification and against the rule that the runtimes follow."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from qdts.kernels import reference
from qdts.models.runtimes.choice import greedy_choice
from qdts.models.tokenizer import END

pytest.importorskip("triton", reason="kernels need Triton")
from qdts.kernels.project_permitted import cost, plan, project_permitted  # noqa: E402

Make = Callable[..., Tensor]
NUM_WORDS, WIDTH = 200, 24


@pytest.fixture
def whole(device: torch.device, dtype: torch.dtype) -> Make:
    """Whole numbers from -2 to 2: products and sums of them are exact, and often equal."""
    generator = torch.Generator().manual_seed(5)
    return lambda *shape: torch.randint(-2, 3, shape, generator=generator).to(device, dtype)


def make_lists(draw: random.Random, counts: list[int]) -> list[list[int]]:
    """Different ids in any order; END among them in about half of the lists."""
    lists: list[list[int]] = []
    for count in counts:
        ids = draw.sample(range(END + 1, NUM_WORDS), count)
        if draw.random() < 0.5:
            ids[draw.randrange(count)] = END
        lists.append(ids)
    return lists


def pad(lists: list[list[int]], int32: Make) -> tuple[Tensor, Tensor]:
    """(R, K) and (R,); what is past a list's end is an id like any other."""
    longest = max(map(len, lists))
    return int32([ids + [END] * (longest - len(ids)) for ids in lists]), int32([len(ids) for ids in lists])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_it_is_the_rule_of_the_runtimes(seed: int, scale: float, whole: Make, int32: Make) -> None:
    draw = random.Random(seed)
    lists = make_lists(draw, [1, 1, 1, 2, 31, 32, 33, 100, *(draw.randint(1, 70) for _ in range(8))])
    hidden, weight = whole(len(lists), WIDTH), whole(NUM_WORDS, WIDTH)
    # END competes: without this the others' sum nearly always wins.
    weight[END] = hidden[4] + hidden[6]
    permitted, counts = pad(lists, int32)
    actual = project_permitted(hidden, weight, permitted, counts, end=END, scale=scale)
    assert torch.equal(actual, reference.project_permitted(hidden, weight, scale, permitted, counts, END))
    for row, ids in enumerate(lists):
        scores = (weight[ids].float() @ hidden[row].float() * scale).cpu().numpy()
        assert int(actual[row]) == greedy_choice(np.array(ids), scores)


def test_end_is_chosen_by_its_rule_not_by_its_place(whole: Make, int32: Make) -> None:
    hidden = torch.ones_like(whole(1, 16))
    weight = torch.zeros_like(whole(70, 16))
    weight[END] = 0.125  # scores 2: above each of the others, which score 0
    few, many = [*range(2, 9)], [*range(2, 10)]  # log 7 = 1.95, log 8 = 2.08

    def choose(ids: list[int]) -> int:
        permitted, counts = pad([ids], int32)
        return int(project_permitted(hidden, weight, permitted, counts, end=END))

    assert choose([*few, END]) == choose([END, *few]) == END
    assert choose([*many, END]) == choose([END, *many]) == 2
    assert choose([*reversed(many)]) == 2


def test_end_wins_a_tie_with_a_single_other(whole: Make, int32: Make) -> None:
    hidden, weight = whole(1, WIDTH), whole(NUM_WORDS, WIDTH)
    weight[END] = weight[60]
    permitted, counts = pad([[60, END]], int32)
    assert project_permitted(hidden, weight, permitted, counts, end=END).tolist() == [END]


def test_the_lowest_id_wins_within_and_across_blocks(whole: Make, int32: Make) -> None:
    hidden, weight = whole(1, WIDTH), whole(NUM_WORDS, WIDTH)
    weight[[17, 90, 150]] = 3 * hidden[0].sign()
    ids = [number for number in range(199, 1, -1) if number != 17]
    permitted, counts = pad([ids, [*ids, 17]], int32)
    chosen = project_permitted(hidden.expand(2, -1).contiguous(), weight, permitted, counts, end=END)
    assert chosen.tolist() == [90, 17]


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_an_overflown_state_ends_the_sequence(device: torch.device, int32: Make) -> None:
    hidden, weight = torch.full((1, 16), float("nan"), device=device), torch.eye(16, device=device)
    permitted, counts = pad([[3, 4, 5]], int32)
    assert project_permitted(hidden, weight, permitted, counts, end=END).tolist() == [END]


def test_arguments_that_do_not_fit_are_named(whole: Make, int32: Make) -> None:
    hidden, weight = whole(2, WIDTH), whole(NUM_WORDS, WIDTH)
    permitted, counts = pad([[2, 3], [4]], int32)
    bad = {
        r"permitted must have the shape \(2, any\)": (hidden, weight, permitted[:1], counts),
        r"counts must have the shape \(2\)": (hidden, weight, permitted, counts[:1]),
        "permitted must be one of torch.int32": (hidden, weight, permitted.long(), counts),
        r"weight must have the shape \(any, 24\)": (hidden, weight.T.contiguous(), permitted, counts),
    }
    for message, inputs in bad.items():
        with pytest.raises(ValueError, match=message):
            plan(*inputs, end=END)
    with pytest.raises(ValueError, match="end must be from 0 to 199, is 200"):
        plan(hidden, weight, permitted, counts, end=NUM_WORDS)


def test_cost_is_that_of_the_permitted_ids() -> None:
    few, more = cost([3], width=8, item_bytes=2), cost([4], width=8, item_bytes=2)
    assert more.num_flops - few.num_flops == 2 * 8
    assert more.num_bytes - few.num_bytes == 8 * 2 + 4
