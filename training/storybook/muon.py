"""An optimizer for short training on few cores: orthogonal steps for matrices, else Adam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

MOMENTUM = 0.95
ADAM_BETAS = (0.9, 0.99)
EPSILON = 1e-8
# Of the odd polynomial that pulls every singular value towards 1 when it is repeated.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """Return the (rows, columns) matrix with all its singular values moved near 1.

    Half precision is enough: near 1 is all that is asked.

    Source: Jordan et al. 2024, Muon; Newton-Schulz iteration with their coefficients.
    """
    a, b, c = COEFFICIENTS
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: torch.Tensor = (x.T if matrix.shape[0] > matrix.shape[1] else x).float()
    return found


class Muon(torch.optim.Optimizer):
    """Muon for hidden matrices and convolutions, AdamW for everything else.

    Both take the same learning rate: an orthogonal step is scaled to the size of an Adam step
    (Liu et al. 2025, arXiv:2502.16982). It needs about half of Adam's steps here.
    """

    def __init__(
        self,
        matrices: Iterable[torch.nn.Parameter],
        others: Iterable[torch.nn.Parameter],
        lr: float,
        weight_decay: float,
    ) -> None:
        groups = [
            {"params": list(matrices), "orthogonal": True},
            {"params": list(others), "orthogonal": False},
        ]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ANN401
        """Take one step; a closure is not supported."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            move = self._orthogonal_step if group["orthogonal"] else self._adam_step
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(move(parameter), alpha=-group["lr"])

    def _orthogonal_step(self, parameter: torch.nn.Parameter) -> torch.Tensor:
        state = self.state[parameter]
        gradient = parameter.grad
        if gradient is None:
            raise ValueError("a parameter without gradient cannot move")
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(state["momentum"], MOMENTUM)
        matrix = ahead.flatten(1)
        size = 0.2 * max(matrix.shape) ** 0.5
        update: torch.Tensor = orthogonalised(matrix).view_as(parameter) * size
        return update

    def _adam_step(self, parameter: torch.nn.Parameter) -> torch.Tensor:
        state = self.state[parameter]
        gradient = parameter.grad
        if gradient is None:
            raise ValueError("a parameter without gradient cannot move")
        if not state:
            state["count"] = torch.zeros(())
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)
        state["count"] += 1
        state["mean"].lerp_(gradient, 1 - ADAM_BETAS[0])
        state["square"].lerp_(gradient.square(), 1 - ADAM_BETAS[1])
        count = float(state["count"])
        mean = state["mean"] / (1 - ADAM_BETAS[0] ** count)
        square = state["square"] / (1 - ADAM_BETAS[1] ** count)
        update: torch.Tensor = mean / (square.sqrt() + EPSILON)
        return update


def muon_for(
    modules: Iterable[torch.nn.Module], lr: float, weight_decay: float, first_and_last: set[str]
) -> Muon:
    """Return the optimizer of some modules.

    `first_and_last` names the layers, by the end of their parameters' names, that touch what goes
    in and comes out: they learn better with Adam, like embeddings and everything that is flat.
    """
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            outside = any(part in first_and_last for part in name.split("."))
            hidden = parameter.ndim >= 2 and not outside
            (matrices if hidden else others).append(parameter)
    return Muon(matrices, others, lr, weight_decay)
