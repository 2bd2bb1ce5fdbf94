"""All checks: those of every kind and those of one, which stand in the module of this folder that is named after it.

Such a module has `CHECKS`, and `answer(component, argument, settings)`, which uses a component once and returns what
came of it in a form that can be compared and pickled.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from importlib import import_module

from ft.errors import FtError
from ft.extension.installed import Component, implementation, read_settings
from ft.extension.kinds import KINDS
from ft.testing.common import COMMON
from ft.testing.trial import Check, NotApplicable

CHECKS: dict[str, tuple[Check, ...]] = {kind: (*COMMON, *import_module(f"ft.testing.{kind}").CHECKS) for kind in KINDS}


def usual_arguments(component: Component, models: str = "1") -> tuple[str | None, ...]:
    """What to try a component with when nobody says: the argument of its example, or of a provider some `models`.

    These are a number of them, spread over those that it lists, or a pattern of names. Raises NotApplicable where there
    are none.
    """
    if component.kind.name == "backbone":
        listed = listed_models(component)
        chosen = chosen_models(listed, models)
        if listed and not chosen:
            raise NotApplicable(f"none of its {len(listed)} models is named '{models}'")
        return tuple(chosen)
    _, colon, argument = getattr(component.record, "example", "").partition(":")
    return (argument if colon else None,)


def listed_models(component: Component) -> list[str]:
    """All models of a provider. Raises NotApplicable where they cannot be had."""
    try:
        return list(implementation(component, "models")(read_settings(component, {}, "backbone")))
    except FtError as error:  # such as a library that is not installed
        raise NotApplicable(f"it has nothing to be tried with here: {error}") from None


def chosen_models(listed: Sequence[str], models: str) -> list[str]:
    """So many of `listed`, from the first to the last of them at equal distances, or those that match a pattern.

    >>> chosen_models(["a1", "a2", "b1", "b2", "b3"], "3")
    ['a1', 'b1', 'b3']
    """
    if not models.isdecimal():
        return fnmatch.filter(listed, models)
    number = min(int(models), len(listed))
    steps = max(number - 1, 1)
    return [listed[at * (len(listed) - 1) // steps] for at in range(number)]
