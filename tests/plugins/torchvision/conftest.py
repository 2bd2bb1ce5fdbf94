from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from ft import Backbone
from ft_torchvision.build import TorchvisionSettings, build


@pytest.fixture(scope="session")
def on_meta() -> Callable[..., Backbone]:
    """Builds a model without memory, each once for all tests."""

    @cache
    def build_once(model_name: str, **settings: object) -> Backbone:
        with torch.device("meta"):
            return build(model_name, TorchvisionSettings.model_validate(settings))

    return build_once
