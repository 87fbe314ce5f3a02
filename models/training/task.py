"""What the training loop asks of whatever is to be learned: batches, and the loss of one.

The loop knows nothing of examples, objectives or teachers; a task knows nothing of optimisers, checkpoints or
devices. One task, one file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The loss of one batch, ready for `backward`; tokens it really read (no padding); numbers for the log.

    A number may stay a tensor of one element, so that it is not waited for: the loop reads it when it logs. One
    that is not a number (an accuracy over nothing) is left out. `flops` is what the step's matrix products cost,
    forward and backward: 0 where nobody has counted.
    """

    loss: Tensor
    num_tokens: int
    report: Mapping[str, float | Tensor]
    flops: float = 0.0


class Task(Protocol):
    """What one run learns."""

    def batches(self) -> Iterator[Any]:
        """An endless stream of batches (host memory), a pure function of the task's seed: a resumed run skips."""
        ...

    def loss(self, net: nn.Module, batch: Any) -> Outcome:
        """The batch through `net`, on the device the net is on."""
        ...


@runtime_checkable
class SeekableTask(Task, Protocol):
    """A task that need not make the batches a resumed run has read before."""

    def batches_from(self, step: int) -> Iterator[Any]:
        """The stream of `batches` without its first `step` batches."""
        ...


def batches_from(task: Task, step: int) -> Iterator[Any]:
    """The task's stream without its first `step` batches, by the quickest way the task has."""
    if isinstance(task, SeekableTask):
        return task.batches_from(step)
    return islice(task.batches(), step, None)
