"""Choices on the device are those of runtimes/choice.py, ties and END included, in whatever mixture they are asked."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.choice import choose
from qdts.models.runtimes.cuda.choosing import DeviceChooser, HostHead
from qdts.models.runtimes.cuda.programs import Arrays, Program
from qdts.models.tokenizer import END

NUM_WORDS, WIDTH, NUM_ROWS, NUM_STATES = 90, 16, 3, 4
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_net(seed: int) -> Any:
    """Whole numbers: products and sums are exact, and often equal. END competes with the others' sum."""
    generator = torch.Generator().manual_seed(seed)
    head = torch.randint(-2, 3, (NUM_WORDS, WIDTH), generator=generator).float()
    head[END] = 1.5 * head[5]
    return SimpleNamespace(head=head.to(DEVICE), scale=0.5)


def run(key: tuple[str, int, int], make: Callable[[], Program], inputs: Arrays) -> Tensor:
    program = make()
    program.buffers.fill(inputs)
    program.compute()
    return program.out


def make_states(seed: int) -> Floats:
    """Half of them such that END is near the others' sum."""
    random = np.random.default_rng(seed)
    states = random.integers(-2, 3, (NUM_ROWS, NUM_STATES, WIDTH)).astype(np.float32)
    states[:, ::2] = make_net(seed).head[5].cpu().numpy()
    return states


def make_allowed(seed: int) -> list[list[Ids | None]]:
    """Of every place a list, long or short, with END or without, a single id, or none."""
    random = np.random.default_rng(seed)

    def one() -> Ids | None:
        kind = random.integers(5)
        ids = random.permutation(np.arange(2, NUM_WORDS))[: random.integers(2, 60)]
        return [None, ids[:1], ids, np.append(ids, END), np.append(END, ids[:3])][kind]

    return [[one() for _ in range(NUM_STATES)] for _ in range(NUM_ROWS)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("counts", [[4, 4, 4], [2, 0, 4], [0, 1, 0]])
def test_the_rule_is_that_of_the_host(seed: int, counts: list[int]) -> None:
    net, states, allowed = make_net(seed), make_states(seed), make_allowed(seed)
    held = torch.from_numpy(states).flatten(0, 1).to(DEVICE)
    chosen = DeviceChooser(net, held, run).choose(NUM_STATES, np.array(counts), allowed)
    expected = choose(HostHead(net), states, np.array(counts), allowed)
    assert chosen.tolist() == expected[:, : max(counts)].tolist()


def test_end_is_among_the_choices() -> None:
    """Or the test above says nothing about its rule."""
    found = [
        choose(HostHead(make_net(seed)), make_states(seed), np.full(NUM_ROWS, NUM_STATES), make_allowed(seed))
        for seed in range(6)
    ]
    ends = np.mean([chosen == END for chosen in found])
    assert 0.1 < ends < 0.9


def test_without_lists_all_may_be_chosen() -> None:
    net, states = make_net(0), make_states(0)
    held = torch.from_numpy(states).flatten(0, 1).to(DEVICE)
    counts = np.array([4, 3, 0])
    chosen = DeviceChooser(net, held, run).choose(NUM_STATES, counts, None)
    assert chosen.tolist() == choose(HostHead(net), states, counts, None).tolist()
