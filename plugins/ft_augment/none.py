"""`none`: no augmentation."""

from __future__ import annotations

from typing import Any

from ft import Preprocessing, Settings


def build(preprocessing: Preprocessing, settings: Settings) -> Any:
    """Nothing: images stay as evaluation sees them."""
    from torchvision.transforms import v2

    return v2.Identity()
