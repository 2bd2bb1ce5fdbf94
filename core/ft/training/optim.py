"""Param groups to optimizer, the learning-rate schedule, and optimizer state by parameter name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ft.errors import FtError
from ft.machine.parts import own_part
from ft.plan.optimizer import ChosenOptimizer
from ft.plan.records import Plan


def make_optimizer(module: torch.nn.Module, plan: Plan, optimizer: ChosenOptimizer) -> torch.optim.Optimizer:
    """Build the optimizer over the plan's param groups; each group knows its peak learning rate and its names."""
    parameters = dict(module.named_parameters())
    groups = [
        {"params": [parameters[name] for name in group.parameters], "lr": group.lr, "weight_decay": group.weight_decay}
        for group in plan.groups
    ]
    made = optimizer.build(groups)
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(f"{optimizer.component.label} returned {made!r}; it has to return a torch.optim.Optimizer")
    mark_groups(made, parameters)
    held = sorted(name for group in made.param_groups for name in group["names"])
    if held != sorted(name for group in plan.groups for name in group.parameters):
        raise TypeError(f"{optimizer.component.label} does not hold each parameter that it was given once")
    return made


def mark_groups(optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.nn.Parameter]) -> None:
    """Write into each param group its peak learning rate, which is its present one, and its parameters' names."""
    names = {parameter: name for name, parameter in parameters.items()}
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
        group["names"] = tuple(names.get(parameter, "?") for parameter in group["params"])


_INSTEAD = "take it from a copy of the run, or start another run"
LEVEL = 0.5
"""Share of the peak rate at which weights are gathered for SWA: the authors' training script has 0.05 of 0.1."""


def lr_factor(step: int, warmup_steps: int, total_steps: int, level_steps: int = 0) -> float:
    """Share of the peak learning rate at `step`: linear warm-up (Goyal et al. 2017, section 2.2), then half a cosine
    down to 0 (Loshchilov & Hutter 2017, section 3); or, where there are `level_steps` at the end, down to LEVEL, at
    which these are (Izmailov et al. 2018, section 3.2).

    It depends on the step alone, so a resumed run has no schedule to restore.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - level_steps - warmup_steps)
    lowest = LEVEL if level_steps else 0.0
    return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` times its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def forget_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Let go of all gradients; `zero_grad`, which also notes that for a profiler, takes longer."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """Return the optimizer's state by parameter name, which stays true when groups or the freeze change."""
    return {
        name: dict(optimizer.state[parameter])
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        if parameter in optimizer.state
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Mapping[str, Any]]) -> None:
    """Give the optimizer what `optimizer_state` returned, on the parameters' devices. The others begin afresh."""
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            if name in saved:
                optimizer.state[parameter] = {
                    key: _beside(parameter, value) if isinstance(value, torch.Tensor) else value
                    for key, value in saved[name].items()
                }
            elif (
                isinstance(optimizer, torch.optim.SGD) and group["momentum"]
            ):  # torch's fused SGD takes the first step for all of a group, or for none
                optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}


def check_state(
    optimizer: ChosenOptimizer, module: torch.nn.Module, saved: Mapping[str, Mapping[str, Any]], path: Path
) -> None:
    """Raise FtError unless the state in a file is of the form that `optimizer` makes for such parameters, and of
    numbers. Fused optimizers go through memory by the parameter's shape, whatever the shape of the state is."""
    own = dict(module.named_parameters())
    for name, values in saved.items():
        for key, wanted in (_first_state(optimizer, own[name]) if values else {}).items():
            given = values.get(key)
            if _form(given) != _form(wanted):
                raise FtError(
                    f"{path} does not fit the optimizer '{optimizer.component.name}': '{key}' of '{name}' is "
                    f"{_form(given)}, not {_form(wanted)}; {_INSTEAD}"
                )
            numbers = torch.as_tensor(given if isinstance(given, torch.Tensor | int | float) else 0)
            if not numbers.isfinite().all() or (key == "step" and bool(numbers < 0)):
                raise FtError(f"{path} is damaged: '{key}' of '{name}' holds what cannot be; {_INSTEAD}")


def _first_state(optimizer: ChosenOptimizer, parameter: torch.Tensor) -> Mapping[str, Any]:
    """What an optimizer keeps of a parameter like this after its first step, which takes no memory where torch can
    tell without computing it. Nothing is known of an optimizer that cannot step so, as one that needs a closure."""
    for mode in (FakeTensorMode, nullcontext):
        with suppress(Exception), mode():  # whatever a plugin's optimizer raises; training itself swallows nothing
            like = torch.nn.Parameter(torch.zeros(parameter.shape, dtype=parameter.dtype))
            like.grad = torch.zeros(parameter.shape, dtype=parameter.dtype)
            made = optimizer.build([{"params": [like], "lr": 1e-3, "weight_decay": 0.0}])
            made.step()
            return dict(made.state[like])
    return {}


def _form(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return "nothing" if value is None else type(value).__name__


def _beside(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A saved tensor of a parameter's state where that is and, if it is of its shape, divided and laid out as that is:
    fused optimizers go through the memory of both at once."""
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=value.dtype).copy_(own_part(value, parameter))
