"""Checks for optimizers, on a matrix, a kernel and biases, of which one never has a gradient."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ft.extension.installed import Component, implementation
from ft.testing.trial import Check, NotApplicable, Trial, expect

if TYPE_CHECKING:
    import torch
    from torch import nn

Parameters = dict[str, "nn.Parameter"]
SHAPES = {"matrix": (4, 3), "kernel": (2, 3, 3, 3), "bias": (4,), "idle": (3,)}
STEPS = 5


def it_holds_each_parameter_once(trial: Trial) -> None:
    """What is built is a torch.optim.Optimizer whose groups hold each parameter that it was given, and no other."""
    import torch

    for parameters, optimizer in _built(trial, solvers_too=True):
        expect(isinstance(optimizer, torch.optim.Optimizer), f"{trial.label} returned {optimizer!r:.80}")
        held = sorted(name for group in optimizer.param_groups for name in group["names"])
        expect(held == sorted(_given(trial, parameters)), f"{trial.label} holds {held}")


def steps_follow_the_gradients(trial: Trial) -> None:
    """The loss falls, and what is never given or has no gradient stays as it is, to the bit."""
    for parameters, optimizer in _built(trial):
        still = {name: parameters[name].detach().clone() for name in ("idle", "stranger")}
        before = _loss(parameters).item()
        _step(parameters, optimizer, 10 * STEPS)
        expect(_loss(parameters).item() < before, f"{trial.label} does not lower the loss, which was {before:g}")
        moved = [name for name, value in still.items() if not value.equal(parameters[name])]
        expect(not moved, f"{trial.label} moves a parameter that has no gradient, or that it was not given")


def the_learning_rate_is_that_of_the_group(trial: Trial) -> None:
    """ft sets each group's "lr" before each step; with 0, nothing moves."""
    for parameters, optimizer in _built(trial):
        _step(parameters, optimizer, 1)
        before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        _step(parameters, optimizer, 1)
        moved = [name for name, value in before.items() if not value.equal(parameters[name])]
        expect(not moved, f"{trial.label} moves {', '.join(moved)} at a learning rate of 0; read group['lr'] in step")


def steps_are_deterministic(trial: Trial) -> None:
    """From the same values, the same gradients lead to the same values, whatever torch's generator holds."""
    import torch

    def ends(seed: int) -> list[str]:
        torch.manual_seed(seed)
        return [_digest(parameters) for parameters, optimizer in _built(trial) if _step(parameters, optimizer, STEPS)]

    with torch.random.fork_rng(devices=[]):
        expect(ends(1) == ends(2), f"{trial.label} takes other steps each time")


def its_state_can_be_saved(trial: Trial) -> None:
    """All that it remembers is in `state` of its parameters, as tensors and numbers: another one goes on from there to
    the bit."""
    import torch

    from ft.training.optim import optimizer_state, restore_optimizer

    for (straight, one), (resumed, other) in zip(_built(trial), _built(trial), strict=True):
        _step(straight, one, STEPS)
        file = io.BytesIO()
        torch.save(optimizer_state(one), file)
        file.seek(0)
        try:
            saved = torch.load(file, weights_only=True)
        except Exception as error:  # torch tells in a pickle's words what it does not read
            expect(False, f"{trial.label} keeps what a checkpoint cannot hold: {error!s:.200}")
        with torch.no_grad():
            for name, parameter in resumed.items():
                parameter.copy_(straight[name])
        restore_optimizer(other, saved)
        _step(straight, one, STEPS)
        _step(resumed, other, STEPS)
        expect(
            _digest(straight) == _digest(resumed), f"{trial.label} goes on otherwise from its state; keep all in state"
        )


def it_finds_a_minimum(trial: Trial) -> None:
    """One that solves: `step(closure)` finds the minimum of a bowl, and leaves how many iterations that took."""
    import torch

    if not trial.component.record.solves:
        raise NotApplicable("it takes steps, and solves nothing")
    for parameters, optimizer in _built(trial, solvers_too=True):
        matrix = parameters["matrix"]

        def closure(matrix: nn.Parameter = matrix, optimizer: Any = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss = ((matrix - 1) ** 2 * torch.arange(1.0, 13).reshape(4, 3)).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)
        expect((matrix - 1).abs().max().item() < 1e-3, f"{trial.label} ends {matrix.tolist()}, and the minimum is at 1")
        expect(optimizer.state[matrix].get("n_iter", 0) > 0, f"{trial.label} leaves no 'n_iter' in the state")


def each_candidate_steps_as_it_would_alone(trial: Trial) -> None:
    """One with candidates: rows that have a learning rate and a weight decay each step as each row would without the
    others; and every candidate has a rate above 0 and a decay that is not below."""
    import torch

    if not trial.component.record.candidates:
        raise NotApplicable("it trains one head at a time")
    make = implementation(trial.component, "candidates")
    for (parameters, optimizer), settings in zip(_built(trial), trial.read_settings(), strict=True):
        found = list(make(settings))
        expect(bool(found), f"{trial.label} has no candidates")
        wrong = [str(each) for each in found if not each.lr > 0 or each.weight_decay < 0 or each.seed < 0]
        expect(not wrong, f"{trial.label} has the candidate {wrong[:1]}")
        whole = parameters["matrix"]
        alone = torch.nn.Parameter(whole.detach()[1:2].clone())
        other = implementation(trial.component, "build")(
            [{"params": [alone], "lr": _by_row(alone, first=1), "weight_decay": _by_row(alone, first=1) * 0.5}],
            settings,
        )
        _step(parameters, optimizer, STEPS)
        for _ in range(STEPS):
            alone.grad = 2 * (alone.detach() - 1)
            other.step()
        expect(
            torch.allclose(alone.detach(), whole.detach()[1:2], rtol=1e-5, atol=1e-6),
            f"{trial.label} steps a row otherwise where there are others",
        )


def answer(component: Component, argument: None, settings: Any) -> str:
    """The digest of where a few steps lead."""
    parameters = _parameters()
    if component.record.solves:
        return str(implementation(component, "build").__qualname__)
    _step(parameters, _build(component, settings, parameters), STEPS)
    return _digest(parameters)


def _built(trial: Trial, solvers_too: bool = False) -> Iterator[tuple[Parameters, Any]]:
    if trial.component.record.solves and not solvers_too:
        raise NotApplicable("it solves, and takes no steps")
    for settings in trial.read_settings():
        parameters = _parameters()
        yield parameters, _build(trial.component, settings, parameters)


def _parameters() -> Parameters:
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(0)
    shapes = {**SHAPES, "stranger": (3,)}
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}


def _build(component: Component, settings: Any, parameters: Parameters) -> Any:
    from ft.training.optim import mark_groups

    record = component.record
    if record.solves:
        groups = [{"params": [parameters["matrix"]], "max_iter": 200, "tolerance_grad": 1e-6}]
    elif record.candidates:
        each = [parameters[name] for name in SHAPES]
        groups = [{"params": [one], "lr": _by_row(one), "weight_decay": _by_row(one) * 0.5} for one in each]
    else:
        decayed, others = ([parameters[name] for name in names] for names in (("matrix", "kernel"), ("bias", "idle")))
        groups = [
            {"params": decayed, "lr": record.lr, "weight_decay": record.weight_decay},
            {"params": others, "lr": record.head_lr, "weight_decay": 0.0},
        ]
    made = implementation(component, "build")(groups, settings)
    mark_groups(made, parameters)
    return made


def _by_row(parameter: torch.Tensor, first: int = 0) -> torch.Tensor:
    """A learning rate for each row of a parameter, which is as one of more rows has it from the `first` on."""
    import torch

    rates = 1e-3 * torch.arange(first + 1.0, first + 1.0 + len(parameter))
    return rates.view(-1, *[1] * (parameter.ndim - 1))


def _given(trial: Trial, parameters: Parameters) -> list[str]:
    return ["matrix"] if trial.component.record.solves else list(SHAPES)


def _loss(parameters: Parameters) -> torch.Tensor:
    import torch

    losses = [((parameters[name] - 1) ** 2).sum() for name in ("matrix", "kernel", "bias")]
    return torch.stack(losses).sum()


def _step(parameters: Parameters, optimizer: Any, steps: int) -> bool:
    for _ in range(steps):
        for parameter in parameters.values():
            parameter.grad = None
        _loss(parameters).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return True


def _digest(parameters: Parameters) -> str:
    made = hashlib.sha256()
    for parameter in parameters.values():
        made.update(parameter.detach().numpy().tobytes())
    return made.hexdigest()


CHECKS: tuple[Check, ...] = (
    it_holds_each_parameter_once,
    steps_follow_the_gradients,
    the_learning_rate_is_that_of_the_group,
    steps_are_deterministic,
    its_state_can_be_saved,
    it_finds_a_minimum,
    each_candidate_steps_as_it_would_alone,
)
