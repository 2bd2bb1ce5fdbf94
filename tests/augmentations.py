"""Augmentations as a run has them, by name."""

from __future__ import annotations

from typing import Any

from ft.config.schema import ComponentConfig
from ft.data.augmentation import ChosenAugmentation, choose_augmentation
from ft.extension.installed import load_plugins


def augmentation(use: str, **settings: Any) -> ChosenAugmentation:
    return choose_augmentation(ComponentConfig.model_validate({"use": use, **settings}), load_plugins())
