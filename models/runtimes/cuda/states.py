"""A document's states where the encoder left them, beside the copy that the protocol promises."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qdts.models.runtimes.base import States


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStates(States):
    """`tensor` (S, C) float32 holds the same numbers as `hidden`: opening a sequence need not bring them back."""

    tensor: Tensor


def join_states(states: Sequence[States], device: torch.device) -> Tensor:
    """End to end: (N, C). States that come from elsewhere, from a cache as a rule, are brought to the device."""
    return torch.cat([_on_device(each, device) for each in states])


def _on_device(states: States, device: torch.device) -> Tensor:
    # A copy in any case: the array may be read-only.
    return states.tensor if isinstance(states, DeviceStates) else torch.tensor(states.hidden, device=device)
