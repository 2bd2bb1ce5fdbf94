"""Checks for recipes."""

from __future__ import annotations

from typing import Any

from ft.config.recipes import of_component
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Component, load_plugins, read_settings
from ft.extension.references import parse_reference
from ft.extension.settings import validate
from ft.testing.trial import Check, NotSo, Trial, expect

_OF_THE_USER = ("backbone", "data", "weights")
"""Kinds of which a recipe may name what is not on this machine."""


def it_is_a_part_of_a_config(trial: Trial) -> None:
    """Its file is in the package, is YAML, and says what a config may say, with values that fit."""
    try:
        recipe = of_component(trial.component)
    except FtError as error:
        raise NotSo(str(error)) from None
    expect(recipe.tree, f"{trial.label} says nothing")


def what_it_names_is_there(trial: Trial) -> None:
    """The strategies, optimizers and other components that it names are installed, and take the settings it gives."""
    plugins = load_plugins()
    config = validate(Config, {"backbone": "any", **of_component(trial.component).tree}, "")
    for named in config.named():
        if named.kind.name not in _OF_THE_USER and named.part.use not in named.key.words:
            try:
                found = plugins.get(named.kind.name, parse_reference(named.part.use))
                read_settings(found, named.part.settings, named.place)
            except FtError as error:
                raise NotSo(f"{trial.label}, {named.place}: {error}") from None


def it_says_when_to_use_it(trial: Trial) -> None:
    """The comment at its beginning shows a command with it, so that whoever reads it can try it."""
    recipe = of_component(trial.component)
    shown = f"--recipe {trial.component.name}"
    expect(shown in recipe.text, f"{trial.label}: its comment shows no command with {shown}")


def answer(component: Component, argument: None, settings: Any) -> str:
    """The digest of its file."""
    return of_component(component).sha256


CHECKS: tuple[Check, ...] = (it_is_a_part_of_a_config, what_it_names_is_there, it_says_when_to_use_it)
