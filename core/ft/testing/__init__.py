"""The conformance kit: what every plugin should pass, and fixtures to test one with. Nothing heavy is imported here.

    from ft.testing import FreezeConformance

    class TestMine(FreezeConformance):
        component = "freeze:mine"
        arguments = ("3", "60%")

`ft plugins check` runs the same checks against what is installed. Fixtures (`ft_cli`, `ft_install`, `ft_registry`)
come with ft as a pytest plugin and need no import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft.testing.conformance import (
        AugmentationConformance as AugmentationConformance,
        BackboneConformance as BackboneConformance,
        DataConformance as DataConformance,
        ExporterConformance as ExporterConformance,
        FreezeConformance as FreezeConformance,
        HeadConformance as HeadConformance,
        OptimizerConformance as OptimizerConformance,
        RecipeConformance as RecipeConformance,
        TaskConformance as TaskConformance,
        TrackerConformance as TrackerConformance,
        WeightSourceConformance as WeightSourceConformance,
    )
    from ft.testing.networks import tiny_backbones as tiny_backbones
    from ft.testing.portable import portable_model as portable_model
    from ft.testing.runs import told_by_run as told_by_run
    from ft.testing.served import WeightFile as WeightFile

_WHERE = {
    "WeightFile": "ft.testing.served",
    "portable_model": "ft.testing.portable",
    "told_by_run": "ft.testing.runs",
    "tiny_backbones": "ft.testing.networks",
}


def __getattr__(name: str) -> Any:
    where = "ft.testing.conformance" if name.endswith("Conformance") else _WHERE.get(name, "")
    module = import_module(where) if where else None
    if name.startswith("_") or not hasattr(module, name):
        raise AttributeError(f"module 'ft.testing' has no attribute {name!r}")
    return getattr(module, name)
