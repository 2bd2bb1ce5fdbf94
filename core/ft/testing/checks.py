"""All checks: those of every kind and those of one."""

from __future__ import annotations

from ft.errors import FtError
from ft.plugins import Component, implementation, read_settings
from ft.testing.backbone import BACKBONE
from ft.testing.common import COMMON
from ft.testing.data import DATA
from ft.testing.freeze import FREEZE
from ft.testing.head import HEAD
from ft.testing.trial import Check, NotApplicable
from ft.testing.weights import WEIGHTS

CHECKS: dict[str, tuple[Check, ...]] = {
    "backbone": COMMON + BACKBONE,
    "freeze": COMMON + FREEZE,
    "head": COMMON + HEAD,
    "weights": COMMON + WEIGHTS,
    "data": COMMON + DATA,
}


def usual_arguments(component: Component) -> tuple[str | None, ...]:
    """What to try a component with when nobody says: the argument of its example, or a provider's first model."""
    if component.kind.name == "backbone":
        try:
            return tuple(implementation(component, "models")(read_settings(component, {}, "backbone"))[:1])
        except FtError as error:  # such as a library that is not installed
            raise NotApplicable(f"it has nothing to be tried with here: {error}") from None
    _, colon, argument = getattr(component.record, "example", "").partition(":")
    return (argument if colon else None,)
