"""A model of a few hundred parameters, as an exporter gets it, with a model.json from which ft rebuilds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ft.extension.exporters import Portable
from ft.extension.extensions import BackboneProvider
from ft.extension.records import Backbone, Preprocessing, Stage

if TYPE_CHECKING:
    from torch import nn

SIDE = 16
CLASSES = ("cat", "dog", "bird")
_SEEN = Preprocessing(crop_size=SIDE, resize_size=18)


def portable_model(any_size: bool = False, precision: Literal["fp32", "fp16", "int8"] = "fp32") -> Portable:
    """A model of three classes that sees 16 x 16 pixels, and its calibration images; the same each time."""
    import numpy as np
    import torch

    from ft.inference.self_contained import Seeing, SelfContained

    network = tiny_network().eval()
    side = SIDE + 3 if any_size else SIDE
    images = np.random.default_rng(0).integers(256, size=(8, side, side, 3), dtype=np.uint8)

    def calibration() -> Iterator[Any]:
        yield from (image[None] for image in images)

    whole = SelfContained(network, Seeing(_SEEN, any_size), lambda outputs: outputs.softmax(1), precision).eval()
    return Portable(
        module=whole,
        outputs=("logits", "probabilities"),
        example=torch.from_numpy(images[:2]),
        any_size=any_size,
        metadata={"labels.txt": "".join(f"{name}\n" for name in CLASSES)},
        precision=precision,
        calibration=calibration,
        network=network,
        about=json.dumps(
            {
                "classes": CLASSES,
                "preprocessing": {"crop_size": SIDE, "resize_size": _SEEN.resize_size},
                "backbone": "ft.testing.portable:KIT:tiny",
                "head": "keep",
                "head_description": [],
                "split": {},
            }
        ),
    )


def tiny_network() -> nn.Module:
    """The same weights each time; nobody's random numbers change."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, len(CLASSES))
        )


def _models(settings: Any) -> list[str]:
    return ["tiny"]


def _build(model_name: str, settings: Any) -> Backbone:
    return Backbone(
        tiny_network(), head_paths=("4",), stages=(Stage("conv", ("0",)),), feature_dim=8, preprocessing=_SEEN
    )


KIT = BackboneProvider("kit", "The network that exporters are tried with", models=_models, build=_build)
