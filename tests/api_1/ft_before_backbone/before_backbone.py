"""Plain convolutional networks: blocks that halve the image and double the width, then a linear classifier."""

from collections.abc import Sequence

import ft
from ft import Backbone, FtError, Preprocessing, Stage, did_you_mean
from pydantic import Field

WIDTHS = {"small": (16, 32, 64), "large": (32, 64, 128, 256)}


class Settings(ft.Settings):
    width_factor: int = Field(1, ge=1, description="makes every layer so many times wider")


def models(settings: Settings) -> Sequence[str]:
    """The names that may stand after the colon, as in before-backbone:small."""
    return tuple(WIDTHS)


def build(model_name: str, settings: Settings) -> Backbone:
    """Build `model_name` with random weights, for images [N, 3, H, W]. Raises FtError for an unknown name."""
    if model_name not in WIDTHS:
        raise FtError(f"before-backbone has no model '{model_name}'.{did_you_mean(model_name, WIDTHS)}")
    from torch import nn  # here, so that listing models stays quick

    widths = [width * settings.width_factor for width in WIDTHS[model_name]]
    module = nn.Sequential()
    for number, (before, width) in enumerate(zip([3, *widths], widths, strict=False), 1):
        convolution = nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False)
        module.add_module(f"block{number}", nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
    module.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    module.add_module("classifier", nn.Linear(widths[-1], 1000))
    return Backbone(
        module,
        head_paths=("classifier",),  # ft puts a head for the user's classes here
        stages=tuple(Stage(f"block{n}", (f"block{n}",)) for n in range(1, len(widths) + 1)),  # from input to output
        feature_dim=widths[-1],
        preprocessing=Preprocessing(crop_size=64, resize_size=72),
        min_image_size=2 ** len(widths),
    )
