"""Optimizers whose learning rate and weight decay are tensors: one for each row of a parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

BETAS = (0.9, 0.999)
EPS = 1e-8
MOMENTUM = 0.9


class _SideBySide(torch.optim.Optimizer):
    """Its groups' "lr" and "weight_decay" broadcast over the parameters."""

    def __init__(self, groups: Sequence[Mapping[str, Any]]) -> None:
        super().__init__([dict(group) for group in groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step every row; `closure`, if there is one, computes loss and gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.move(parameter, parameter.grad, group)
        return loss

    def move(self, parameter: torch.Tensor, gradient: torch.Tensor, group: Mapping[str, Any]) -> None:
        """Step one parameter."""
        raise NotImplementedError


class AdamWSideBySide(_SideBySide):
    """AdamW as torch computes it, with beta 0.9 and 0.999."""

    def move(self, parameter: torch.Tensor, gradient: torch.Tensor, group: Mapping[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state.update(step=0.0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
        state["step"] += 1.0
        mean, square, (slow, slower) = state["exp_avg"], state["exp_avg_sq"], BETAS
        mean.lerp_(gradient, 1 - slow)
        square.mul_(slower).addcmul_(gradient, gradient, value=1 - slower)
        root = (1 - slower ** state["step"]) ** 0.5
        lr = group["lr"]
        parameter.mul_(1 - lr * group["weight_decay"])
        rate = lr * (-root / (1 - slow ** state["step"]))
        parameter.addcdiv_(mean * rate, square.sqrt().add_(EPS * root))  # both sides of the division by the root


class SGDSideBySide(_SideBySide):
    """SGD with Nesterov momentum 0.9, as torch computes it; its weight decay is part of the gradient."""

    def move(self, parameter: torch.Tensor, gradient: torch.Tensor, group: Mapping[str, Any]) -> None:
        state = self.state[parameter]
        slope = gradient + parameter * group["weight_decay"]
        if not state:
            state["momentum_buffer"] = slope.clone()
        else:
            state["momentum_buffer"].mul_(MOMENTUM).add_(slope)
        parameter.sub_(slope.add_(state["momentum_buffer"], alpha=MOMENTUM).mul_(group["lr"]))
