"""A backbone provider for tests, named where it lies: PATH/tiny_provider.py:Tiny:small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backbones import centred, checked, chunked, doubled, locked, mixed_classifier, small, with_aux, with_pooling
from ft import Backbone, BackboneProvider

BUILDERS = {
    "small": small,
    "with-aux": with_aux,
    "with-pooling": with_pooling,
    "centred": centred,
    "doubled": doubled,
    "checked": checked,
    "chunked": chunked,
    "locked": locked,
    "mixed": mixed_classifier,
}


def models(settings: Any) -> Sequence[str]:
    return list(BUILDERS)


def build(model_name: str, settings: Any) -> Backbone:
    return BUILDERS[model_name]()


Tiny = BackboneProvider("tiny", "Networks of a few hundred parameters", models=models, build=build)
