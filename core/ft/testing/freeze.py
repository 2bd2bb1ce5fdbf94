"""Checks for freezing strategies, on two small networks built as ResNet and VGG are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Set
from typing import Any

from ft.errors import FtError
from ft.extension.installed import Component
from ft.extension.records import Backbone
from ft.testing.networks import tiny_backbones
from ft.testing.trial import Check, NotApplicable, NotSo, Trial, expect
from ft.testing.worker import digest, select

ODD_ARGUMENTS = (None, "", "0", "-1", "no-such-thing", "((", "100%", "ü")


def it_selects_parameters(trial: Trial) -> None:
    """Each argument selects names of parameters, at least on one of the networks, and not nothing."""
    for argument in trial.arguments:
        told = []
        for settings in trial.read_settings():
            for backbone in tiny_backbones().values():
                try:
                    _names(trial, backbone, argument, settings)
                    break
                except FtError as error:
                    told.append(str(error))
            else:
                raise trial.unfit(argument, FtError("; ".join(told)))


def selecting_is_deterministic(trial: Trial) -> None:
    """The same network gives the same names, each time."""
    for (settings, argument, _, once), (_, _, _, again) in zip(_selections(trial), _selections(trial), strict=True):
        expect(once == again, f"{trial.label} with {argument!r}, {settings!r} selected {once} and then {again}")


def selecting_changes_nothing(trial: Trial) -> None:
    """A strategy decides; ft freezes. Tensors, gradients, modes and torch's generator stay as they were."""
    import torch

    for settings in trial.read_settings():
        for argument in trial.arguments:
            for backbone in tiny_backbones().values():
                backbone.module.train(not trial.component.record.needs_data)
                before, generator = _state(backbone), torch.random.get_rng_state()
                _try(trial, backbone, argument, settings)
                expect(_state(backbone) == before, f"{trial.label} changes the network it looks at")
                drew = not torch.equal(torch.random.get_rng_state(), generator)
                expect(not drew, f"{trial.label} draws from torch's generator; use a generator of its own")


def a_plan_selects_what_a_run_selects(trial: Trial) -> None:
    """`ft plan` has tensors without values (torch's meta device); the decision is the same on them."""
    if trial.component.record.needs_data:
        raise NotApplicable("it looks at images, for which ft plan fetches the weights")
    for settings in trial.read_settings():
        for argument in trial.arguments:
            for backbone in tiny_backbones().values():
                with_values = _try(trial, backbone, argument, settings)
                backbone.module.to("meta")
                without = _try(trial, backbone, argument, settings)
                expect(without == with_values, f"{trial.label} selects {with_values}, but without values {without}")


def a_mistake_is_told_to_the_user(trial: Trial) -> None:
    """Whatever argument is typed, it selects something or is an FtError that says what to type; never a traceback."""
    for settings in trial.read_settings():
        for argument in ODD_ARGUMENTS:
            for backbone in tiny_backbones().values():
                try:
                    _names(trial, backbone, argument, settings, may_be_empty=True)
                except FtError as error:
                    expect(str(error).strip(), f"{trial.label} raises an FtError that says nothing for {argument!r}")
                except NotSo:
                    raise
                except Exception as error:
                    raise NotSo(
                        f"{trial.label} raises {type(error).__name__} ({error}) for {argument!r}; raise ft.FtError"
                    ) from error


def _selections(trial: Trial) -> Iterator[tuple[Any, str | None, str, Set[str] | None]]:
    for settings in trial.read_settings():
        for argument in trial.arguments:
            for name, backbone in tiny_backbones().items():
                yield settings, argument, name, _try(trial, backbone, argument, settings)


def _try(trial: Trial, backbone: Backbone, argument: str | None, settings: Any) -> Set[str] | None:
    try:
        return _names(trial, backbone, argument, settings)
    except FtError:  # an argument need not fit every network
        return None


def _names(
    trial: Trial, backbone: Backbone, argument: str | None, settings: Any, may_be_empty: bool = False
) -> Set[str]:
    selected: Set[str] = select(trial.component, backbone, argument, settings)
    expect(isinstance(selected, Set), f"{trial.label} returned {selected!r}; it has to return a set of names")
    known = {name for name, _ in backbone.module.named_parameters(remove_duplicate=False)}
    strange = sorted(map(str, selected - known))
    expect(not strange, f"{trial.label} selects {strange[:3]}, which are no parameters of the network")
    empty_is_right = may_be_empty or trial.component.record.allows_empty or trial.component.record.optional
    expect(selected or empty_is_right, f"{trial.label} selects nothing with {argument!r}; raise FtError instead")
    return selected


def _state(backbone: Backbone) -> tuple[Any, ...]:
    module = backbone.module
    flags = [(name, each.requires_grad, each.grad is None) for name, each in module.named_parameters()]
    return digest(module), flags, [part.training for part in module.modules()]


def answer(component: Component, argument: str | None, settings: Any) -> dict[str, list[str]]:
    """What it selects of each of the small networks that the argument fits."""
    found = {}
    for name, backbone in tiny_backbones().items():
        with contextlib.suppress(FtError):
            found[name] = sorted(select(component, backbone, argument, settings))
    return found


CHECKS: tuple[Check, ...] = (
    it_selects_parameters,
    selecting_is_deterministic,
    selecting_changes_nothing,
    a_plan_selects_what_a_run_selects,
    a_mistake_is_told_to_the_user,
)
