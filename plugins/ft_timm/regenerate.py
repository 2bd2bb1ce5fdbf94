"""Writes the catalogue from the installed timm: `python -m ft_timm.regenerate`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import timm
import torch
from timm.models._registry import _model_default_cfgs  # the public functions tell names, but not the default's place

from ft import Preprocessing
from ft_timm.catalogue import FILE, PARAMETERS_FILE


def catalogue() -> dict[str, Any]:
    """Models by name; for each tag: the index of its preprocessing, its number of classes, its license."""
    presets: list[Preprocessing] = []
    models: dict[str, dict[str, tuple[int, int, str]]] = {}
    by_name = sorted(_model_default_cfgs.items())
    tiny_first = sorted(by_name, key=lambda each: not each[0].startswith("test_"))  # for whoever tries the first
    for name, default in tiny_first:
        for tag in default.tags:
            config = default.cfgs[tag]
            if tag and config.hf_hub_id == "timm/" and isinstance(config.classifier, str):
                preset = _preprocessing(config)
                presets += [preset] if preset not in presets else []
                row = (presets.index(preset), config.num_classes, config.license or "")
                models.setdefault(name, {})[tag] = row
    return {"models": models, "preprocessings": [_said(preset) for preset in presets]}


def parameters(name: str) -> int:
    """How many parameters a model has, its classifier included; built without values."""
    with torch.device("meta"):
        return sum(each.numel() for each in timm.create_model(name, pretrained=False).parameters())


def _preprocessing(config: Any) -> Preprocessing:
    side = config.input_size[-1]
    return Preprocessing(
        crop_size=side,
        resize_size=math.floor(side / config.crop_pct),  # as timm.data.transforms_factory does
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        fit={"center": "crop", "squash": "squash", "border": "pad"}[config.crop_mode],  # type: ignore[arg-type]
    )


def _said(preset: Preprocessing) -> dict[str, Any]:
    return {key: value for key, value in asdict(preset).items() if value is not None}


def _write() -> None:
    made = catalogue()
    rows = [f"  {json.dumps(name)}: {json.dumps(tags)}" for name, tags in made["models"].items()]
    presets = [f"  {json.dumps(preset)}" for preset in made["preprocessings"]]
    text = '{"models": {\n' + ",\n".join(rows) + '\n},\n"preprocessings": [\n' + ",\n".join(presets) + "\n]}\n"
    FILE.write_text(text, encoding="utf-8")
    counted = [f" {json.dumps(name)}: {parameters(name)}" for name in made["models"]]  # takes minutes
    PARAMETERS_FILE.write_text("{\n" + ",\n".join(counted) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
