"""Where a trained model comes from: what must be known to rebuild it, and to repeat the run that made it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
import torchvision

from ft import __version__
from ft.backbone import BuiltBackbone
from ft.config import Config
from ft.data import ImageData, data_reference
from ft.model import Model
from ft.plugins import Component, Plugins
from ft.references import parse_reference

MODEL_FORMAT = 1


def describe_model(
    config: Config, built: BuiltBackbone, model: Model, data: ImageData, versions: dict[str, Any]
) -> dict[str, Any]:
    """The content of model.json: classes, preprocessing, how to rebuild the module, and where its weights began."""
    return {
        "format": MODEL_FORMAT,
        "classes": data.classes,
        "preprocessing": asdict(built.preprocessing),
        "backbone": config.backbone.model_dump(mode="json"),
        "head": config.head.model_dump(mode="json"),
        "head_description": model.description,
        "split": config.split.model_dump(mode="json"),
        "provenance": {"weights": _weights(built), "data": str(data.source), "versions": versions},
    }


def versions_used(config: Config, built: BuiltBackbone, plugins: Plugins) -> dict[str, Any]:
    """ft, Python, torch, and distribution and version of every component that the run uses."""
    return {
        "ft": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "components": [
            {"kind": c.kind.name, "name": c.name, "distribution": c.distribution, "version": c.version}
            for c in _components(config, built, plugins)
        ],
    }


def _components(config: Config, built: BuiltBackbone, plugins: Plugins) -> Iterator[Component]:
    yield built.component
    if config.head.use != "keep":
        yield plugins.get("head", parse_reference(config.head.use))
    for each in (*config.freeze, *config.train, *(group.match for group in config.groups)):
        yield plugins.get("freeze", parse_reference(each.use))
    yield plugins.get("data", data_reference(config.data.use, plugins))
    if built.fetched is not None and built.fetched.source != "cache":
        yield plugins.get("weights", parse_reference(built.fetched.source))


def _weights(built: BuiltBackbone) -> dict[str, Any] | None:
    if built.fetched is None:
        return None
    fetched = built.fetched
    return {"entry": fetched.entry.name, "url": fetched.entry.url, "sha256": fetched.sha256, "source": fetched.source}
