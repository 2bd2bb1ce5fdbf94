"""Which models and weights timm has, read from a file beside this one, so that listing them imports no torch.

`python -m ft_timm.regenerate` writes the file anew from the installed timm.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ft import FtError, ModelFacts, Preprocessing, WeightEntry, did_you_mean

FILE = Path(__file__).with_name("catalogue.json")
PARAMETERS_FILE = Path(__file__).with_name("parameters.json")


def models(settings: Any) -> tuple[str, ...]:
    """Names of timm's architectures that have weights and one classifier. Raises FtError when timm is missing."""
    if find_spec("timm") is None:
        raise FtError("the models of timm need timm: pip install 'ftkit[timm]'")
    return tuple(_read()["models"])


def weights(model_name: str) -> tuple[WeightEntry, ...]:
    """The published weights of one model, timm's default first: in its words, the pretrained tags.

    No digests are published. Raises FtError for an unknown name.
    """
    catalogue = _read()
    if model_name not in catalogue["models"]:
        raise FtError(f"no timm model named '{model_name}'.{did_you_mean(model_name, catalogue['models'])}")
    tags = catalogue["models"][model_name]
    presets = catalogue["preprocessings"]
    return tuple(
        _entry(model_name, tag, presets[preset], num_classes, license)
        for tag, (preset, num_classes, license) in tags.items()
    )


def facts(model_name: str) -> ModelFacts:
    """How many parameters a network has. timm's package says nothing of accuracy or multiply-adds."""
    return ModelFacts(parameters=_parameters().get(model_name), for_tests=model_name.startswith("test_"))


@cache
def _parameters() -> dict[str, int]:
    return dict(json.loads(PARAMETERS_FILE.read_text(encoding="utf-8")))


@cache
def _read() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


def _entry(model: str, tag: str, values: dict[str, Any], num_classes: int, license: str) -> WeightEntry:
    return WeightEntry(
        name=tag,
        file_name=f"{model}.{tag}.safetensors",
        url=f"https://huggingface.co/timm/{model}.{tag}/resolve/main/model.safetensors",
        preprocessing=Preprocessing(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])}),
        num_classes=num_classes,
        note=f"license: {license}" if license else "",
    )
