"""Muon: momentum whose update is made orthogonal, for matrices inside the blocks (Jordan et al. 2024).

torch.optim.Muon does its matrix products in bfloat16, which a CPU without bfloat16 instructions runs a
hundred times slower than float32; this one keeps the parameters' type.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

# Coefficients of the quintic iteration and number of steps, from the same source.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_NUM_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled to the root mean square an AdamW update has (0.2)."""

    def __init__(
        self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer = state["momentum"]
        buffer.lerp_(gradient, 1 - group["momentum"])
        update = orthogonalise(gradient.lerp(buffer, group["momentum"]))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"] * 0.2 * max(parameter.shape) ** 0.5)


def orthogonalise(matrix: Tensor) -> Tensor:
    """(M, N) -> (M, N) with all singular values near 1, by Newton-Schulz iteration."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    norm = cast(Tensor, wide.norm())  # pyright: ignore[reportUnknownMemberType]
    x = wide / (norm + 1e-7)
    for _ in range(_NUM_ITERATIONS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
