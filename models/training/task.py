"""What the training loop asks of whatever is to be learned: batches, and the loss of one.

The loop knows nothing of examples, objectives or teachers; a task knows nothing of optimisers, checkpoints or
devices. One task, one file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The loss of one batch, ready for `backward`; tokens it really read (no padding); numbers for the log."""

    loss: Tensor
    num_tokens: int
    report: dict[str, float]


class Task(Protocol):
    """What one run learns."""

    def batches(self) -> Iterator[Any]:
        """An endless stream of batches (host memory), a pure function of the task's seed: a resumed run skips."""
        ...

    def loss(self, net: nn.Module, batch: Any) -> Outcome:
        """The batch through `net`, on the device the net is on."""
        ...
