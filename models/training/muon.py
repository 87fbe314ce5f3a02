"""Muon: momentum whose update is made orthogonal, for matrices inside the blocks (Jordan et al. 2024).

torch.optim.Muon does its matrix products in bfloat16, which a CPU without bfloat16 instructions runs a
hundred times slower than float32; this one does so only where it is told to. Matrices of one shape are done together:
a GPU would spend its time on starting hundreds of small products.
"""

from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor

# Coefficients of the quintic iteration and number of steps, from the same source.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_NUM_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled to the root mean square an AdamW update has (0.2).

    `bf16`: orthogonalise in bfloat16, which the iteration bears; momentum and parameters keep their type.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        bf16: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype = torch.bfloat16 if bf16 else torch.float32

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, group["lr"], group["momentum"], group["weight_decay"])

    def _update(self, parameters: list[Tensor], rate: float, momentum: float, weight_decay: float) -> None:
        """Parameters of one shape."""
        blended = torch.stack([self._blend(parameter, momentum) for parameter in parameters])  # (P, M, N)
        scale = -rate * 0.2 * max(parameters[0].shape) ** 0.5
        for parameter, update in zip(parameters, orthogonalise(blended.to(self._dtype)), strict=True):
            parameter.mul_(1 - rate * weight_decay)
            parameter.add_(update, alpha=scale)

    def _blend(self, parameter: Tensor, momentum: float) -> Tensor:
        """Update the momentum, look ahead along it (Nesterov)."""
        state, gradient = self.state[parameter], cast(Tensor, parameter.grad)
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer = cast(Tensor, state["momentum"]).lerp_(gradient, 1 - momentum)
        return gradient.lerp(buffer, momentum)


def orthogonalise(matrices: Tensor) -> Tensor:
    """(..., M, N) -> (..., M, N) with all singular values near 1, by Newton-Schulz iteration."""
    is_wide = matrices.shape[-2] <= matrices.shape[-1]
    wide = matrices if is_wide else matrices.mT
    x = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + 1e-7)
    for _ in range(_NUM_ITERATIONS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x if is_wide else x.mT
