"""Where a trained model comes from: what must be known to rebuild it, and to repeat the run that made it."""

from __future__ import annotations

import platform
from typing import Any

import torch
import torchvision

from ft._version import __version__
from ft.config.schema import ComponentConfig, Config
from ft.config.training import changed
from ft.data.load import ImageData
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.kinds import KINDS
from ft.extension.references import parse_reference
from ft.model.backbone import BuiltBackbone
from ft.model.head import Model
from ft.plan.components import components_of
from ft.run.locked import describe_component
from ft.run.records import ModelFile, read_record
from ft.task.chosen import OLDER


def describe_model(
    config: Config, built: BuiltBackbone, model: Model, data: ImageData, versions: dict[str, Any]
) -> ModelFile:
    """The content of model.json: the label space, preprocessing, how to rebuild the module, and where its weights
    began."""
    return ModelFile(
        classes=data.space.names,
        task=_task(config),
        outputs=0 if data.space.outputs == len(data.space.names) else data.space.outputs,  # 0 is one a name
        numbers=dict(data.space.numbers),
        preprocessing=built.preprocessing,
        backbone=config.backbone,
        head=config.head,
        head_description=model.description,
        split=config.split,
        prefer=_preferred(config, versions),
        provenance={"weights": _weights(built), "data": str(data.source), "versions": versions},
    )


def _task(config: Config) -> ComponentConfig:
    """The task, with the settings that the config gives under older names."""
    older = {name: getattr(config.training, name) for name in changed(config.training, OLDER)}
    return ComponentConfig.model_validate({"use": config.task.use, **older, **config.task.settings})


def seen_otherwise(built: BuiltBackbone) -> list[str]:
    """Say so where the weights are those of a run that gave its network images of another size or fit; a line or none.

    Nothing is said of a file beside which there is no model.json as a run writes it.
    """
    path = built.origin.weights if built.origin else built.fetched.path if built.fetched else None
    if path is None:
        return []
    try:
        before = read_record(path.with_name("model.json"), ModelFile).preprocessing
    except FtError:
        return []
    now = built.preprocessing
    if (before.crop_size, before.fit) == (now.crop_size, now.fit):
        return []
    place = path.parent
    return [
        f"the weights were trained in {place} on images of {before.crop_size} px, fit {before.fit}; "
        f"now they are given {now.crop_size} px, fit {now.fit}. As there: --image-size {before.crop_size} "
        f"--fit {before.fit}"
    ]


def versions_used(config: Config, built: BuiltBackbone, plugins: Plugins) -> dict[str, Any]:
    """ft, Python, torch, and distribution, version and digest of every component that the run uses."""
    components = [component for _, component in components_of(config, plugins)]
    if built.fetched is not None and built.fetched.source != "cache":
        components.append(plugins.get("weights", parse_reference(built.fetched.source)))
    return {
        "ft": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "components": [describe_component(component) for component in components],
    }


def _preferred(config: Config, versions: dict[str, Any]) -> dict[str, str]:
    """What of `config.prefer` it takes to rebuild the model."""
    kinds = [kind.name for kind in KINDS.values() if kind.key.path in ModelFile.model_fields]
    rebuilt = {f"{c['kind']}:{c['name']}" for c in versions["components"] if c["kind"] in kinds}
    return {name: distribution for name, distribution in config.prefer.items() if name in rebuilt}


def _weights(built: BuiltBackbone) -> dict[str, Any] | None:
    if (origin := built.origin) is not None:
        folder = str(origin.folder)
        return {"entry": f"model of {folder}", "source": folder, "sha256": origin.sha256, "head": origin.head}
    if built.fetched is None:
        return None
    fetched = built.fetched
    entry = fetched.entry
    note = {"note": entry.note} if entry.note else {}
    return {"entry": entry.name, "url": entry.url, "sha256": fetched.sha256, "source": fetched.source, **note}
