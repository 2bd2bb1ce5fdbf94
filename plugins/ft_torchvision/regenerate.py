"""Writes the catalogue from the installed torchvision: `python -m ft_torchvision.regenerate`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import torchvision
from torchvision.models import get_model_weights, list_models

from ft import Preprocessing
from ft_torchvision.catalogue import CLASSES_FILE, ENTRIES_FILE
from ft_torchvision.facts import FACTS_FILE
from ft_torchvision.families import family_of


def entries() -> dict[str, list[dict[str, Any]]]:
    """For every model, the fields of its weight entries, torchvision's default first."""
    return {name: _entries(name) for name in list_models(module=torchvision.models)}


def facts() -> dict[str, dict[str, Any]]:
    """For every model, what torchvision says of it with its default weights."""
    return {name: _facts(get_model_weights(name).DEFAULT.meta) for name in list_models(module=torchvision.models)}


def classes() -> list[str]:
    """The names of ImageNet's 1000 classes, which all entries share."""
    return list(get_model_weights("resnet18").DEFAULT.meta["categories"])


def _entries(model_name: str) -> list[dict[str, Any]]:
    published = get_model_weights(model_name)
    # VGG16_Weights.IMAGENET1K_FEATURES has no categories: in its classifier, which is backbone too, all values are NaN.
    usable = [weights for weights in published if weights.meta["categories"]]
    usable.sort(key=lambda weights: weights is not published.DEFAULT)
    return [_fields(model_name, weights, usable[0]) for weights in usable]


def _facts(meta: dict[str, Any]) -> dict[str, Any]:
    return {
        "parameters": meta["num_params"],
        "flops": round(meta["_ops"] * 10**9),  # torchvision says multiply-adds, in units of 10^9, to three decimals
        "accuracy": meta["_metrics"]["ImageNet-1K"]["acc@1"],
    }


def _fields(model_name: str, weights: Any, default: Any) -> dict[str, Any]:
    assert weights.meta["categories"] == classes()
    file_name = urlsplit(weights.url).path.rpartition("/")[2]
    digest = re.search(r"-([0-9a-f]{8,64})\.pth$", file_name)
    preset = weights.transforms()
    preprocessing = Preprocessing(
        crop_size=preset.crop_size[0],
        resize_size=preset.resize_size[0],
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
    notes = [f"ImageNet top-1 {weights.meta['_metrics']['ImageNet-1K']['acc@1']:.1f} %"]
    if family_of(model_name).sized and preset.crop_size != default.transforms().crop_size:
        notes.append(f"needs --set backbone.image_size={preset.crop_size[0]}")
    if "license" in weights.meta:
        notes.append(f"license: {weights.meta['license']}")
    return {
        "name": weights.name,
        "file_name": file_name,
        "url": weights.url,
        "sha256": digest[1] if digest else "",
        "approximate_size": round(weights.meta["_file_size"] * 2**20),  # torchvision says MiB to three decimals
        "note": "; ".join(notes),
        "preprocessing": {
            key: value for key, value in asdict(preprocessing).items() if key != "fit" and value is not None
        },
    }


def _write() -> None:
    models = [
        f" {json.dumps(name)}: [\n" + ",\n".join(f"  {json.dumps(each)}" for each in listed) + "\n ]"
        for name, listed in entries().items()
    ]
    ENTRIES_FILE.write_text("{\n" + ",\n".join(models) + "\n}\n", encoding="utf-8")
    said = [f" {json.dumps(name)}: {json.dumps(each)}" for name, each in facts().items()]
    FACTS_FILE.write_text("{\n" + ",\n".join(said) + "\n}\n", encoding="utf-8")
    CLASSES_FILE.write_text("\n".join(classes()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
