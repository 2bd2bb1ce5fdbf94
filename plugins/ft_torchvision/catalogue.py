"""What torchvision publishes, read from files beside this one, so that listing 80 models imports no torchvision.

`python -m ft_torchvision.regenerate` writes these files anew from the installed torchvision.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ft import FtError, Preprocessing, WeightEntry
from ft.errors import did_you_mean

ENTRIES_FILE = Path(__file__).with_name("catalogue.json")
CLASSES_FILE = Path(__file__).with_name("imagenet_classes.txt")


def models(settings: Any) -> tuple[str, ...]:
    """Names of all models, in torchvision's order."""
    return tuple(_entries())


def weights(model_name: str) -> tuple[WeightEntry, ...]:
    """The published weights of one model, torchvision's default first. Raises FtError for an unknown name."""
    try:
        return _entries()[model_name]
    except KeyError:
        raise FtError(f"no torchvision model named '{model_name}'.{did_you_mean(model_name, _entries())}") from None


@cache
def _entries() -> dict[str, tuple[WeightEntry, ...]]:
    classes = tuple(CLASSES_FILE.read_text(encoding="utf-8").splitlines())
    listed = json.loads(ENTRIES_FILE.read_text(encoding="utf-8"))
    return {name: tuple(_entry(fields, classes) for fields in entries) for name, entries in listed.items()}


def _entry(fields: dict[str, Any], classes: tuple[str, ...]) -> WeightEntry:
    values = dict(fields.pop("preprocessing"))
    preprocessing = Preprocessing(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
    return WeightEntry(**fields, preprocessing=preprocessing, num_classes=len(classes), classes=classes)
