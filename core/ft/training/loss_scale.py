"""What training in float16 takes: the loss is multiplied before its gradients are made, and these are divided after it.

Gradients below 6e-8 are zero in float16, and those above 65,504 infinite. So the loss is multiplied by as much as they
bear (Micikevicius et al. 2018, section 3.2), which is found out: a step whose gradients are not finite is skipped and
the factor halved, and after 2,000 steps that were taken it is doubled.
"""

from __future__ import annotations

import torch
from torch import nn

from ft.errors import FtError
from ft.machine.devices import Machine
from ft.run.checkpoints import ScaleState

MOST_SKIPPED = 20
"""Steps in a row after which another factor will not help: the first one is 65,536, so it has become 1 / 16."""


class LossScale:
    """The factor of a run in fp16, and how many steps were `skipped` in a row; in another precision it does nothing."""

    def __init__(self, machine: Machine) -> None:
        self.skipped = 0
        self.is_on = machine.precision == "fp16"
        self._scaler = torch.amp.GradScaler(machine.kind, enabled=self.is_on)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of a loss, times the factor, to those that are there."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer, module: nn.Module, clip_norm: float | None) -> bool:
        """Divide the gradients by the factor, cut their norm to `clip_norm`, and step; or skip the step where one of
        them is not finite. Return whether it was taken. Raises FtError where too many were skipped in a row."""
        if self.is_on:
            self._scaler.unscale_(optimizer)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
        if not self.is_on:
            optimizer.step()
            return True
        before = self._scaler.get_scale()
        self._scaler.step(optimizer)
        self._scaler.update()
        taken = self._scaler.get_scale() >= before
        self.skipped = 0 if taken else self.skipped + 1
        if self.skipped > MOST_SKIPPED:
            raise FtError(
                f"in fp16 the gradients of {self.skipped} steps in a row were not finite, whatever the loss was "
                "multiplied by"
            )
        return taken

    def state(self) -> ScaleState | None:
        """What a checkpoint keeps of it."""
        if not self.is_on:
            return None
        held = self._scaler.state_dict()
        return ScaleState(float(held["scale"]), int(held["_growth_tracker"]), self.skipped)

    def restore(self, saved: ScaleState | None) -> None:
        """Take what `state` returned; a run that had none, or needs none, begins afresh."""
        if self.is_on and saved is not None:
            self.skipped = saved.skipped
            held = {**self._scaler.state_dict(), "scale": saved.factor, "_growth_tracker": saved.taken}
            self._scaler.load_state_dict(held)
