"""Two of torch's optimizers as one: Muon where a parameter is a matrix, AdamW where it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch


class MuonAndAdamW(torch.optim.Optimizer):
    """Its param groups are those of the matrices, in the order given, then those of the rest; its state is of both."""

    def __init__(self, groups: Sequence[Mapping[str, Any]], momentum: float, nesterov: bool, iterations: int) -> None:
        self.both: list[torch.optim.Optimizer] = []
        if matrices := _those(groups, matrices=True):
            self.both.append(
                torch.optim.Muon(
                    matrices,
                    momentum=momentum,
                    nesterov=nesterov,
                    ns_steps=iterations,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        if others := _those(groups, matrices=False):
            self.both.append(torch.optim.AdamW(others, fused=True))
        super().__init__([group for each in self.both for group in each.param_groups], {})
        for each in self.both:
            each.state = self.state

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step with both; `closure`, if there is one, computes loss and gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for each in self.both:
            each.step()
        return loss


def _those(groups: Sequence[Mapping[str, Any]], matrices: bool) -> list[dict[str, Any]]:
    parts = [{**group, "params": [p for p in group["params"] if (p.ndim == 2) is matrices]} for group in groups]
    return [part for part in parts if part["params"]]
