"""A backbone provider for tests, named where it lies: PATH/tiny_provider.py:Tiny:small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from backbones import (
    CheckedTapped,
    HungrySecond,
    Tapped,
    activated,
    centred,
    checked,
    chunked,
    deep,
    doubled,
    mixed_classifier,
    narrowing,
    offset,
    one_pixel_map,
    positional,
    remembering,
    scaled,
    small,
    two_ways,
    uncopyable,
    whitened,
    with_aux,
    with_pooling,
)
from ft import Backbone, BackboneProvider

BUILDERS = {
    "small": small,
    "activated": activated,
    "whitened": whitened,
    "with-aux": with_aux,
    "with-pooling": with_pooling,
    **{f"offset-{how}": partial(offset, how) for how in ("constant", "bias", "channel", "saturated")},
    "two-ways": two_ways,
    "hungry-second": lambda: replace(small(), module=HungrySecond(), name="hungry-second"),
    "centred": centred,
    "doubled": doubled,
    "checked": checked,
    "chunked": chunked,
    "uncopyable": uncopyable,
    "mixed": mixed_classifier,
    "narrowing": narrowing,
    "positional": partial(positional, 8),
    "deep": deep,
    "one-pixel-map": one_pixel_map,
    "scaled-1": lambda: scaled(1.0),
    "scaled-3": lambda: scaled(3.0),
    "remembering-later": lambda: remembering(None),
    "remembering": lambda: remembering(torch.zeros(8)),
    "tapped": lambda: replace(small(), module=Tapped(), name="tapped"),
    "checked-tapped": lambda: replace(small(), module=CheckedTapped(), name="checked-tapped"),
}


def models(settings: Any) -> Sequence[str]:
    return list(BUILDERS)


def build(model_name: str, settings: Any) -> Backbone:
    return BUILDERS[model_name]()


Tiny = BackboneProvider("tiny", "Networks of a few hundred parameters", models=models, build=build)
