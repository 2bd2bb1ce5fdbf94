"""Which augmentation a config names, with its settings, and what it makes of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ft.config.images import AUTO
from ft.config.schema import ComponentConfig, Config
from ft.errors import FtError
from ft.extension.extensions import Augmentation
from ft.extension.installed import Chosen, Plugins, read_settings
from ft.extension.records import Preprocessing
from ft.extension.references import parse_reference
from ft.text.counting import with_article

KEY = "images.augment"
Step = Callable[[Tensor], Tensor]


class ChosenAugmentation(Chosen[Augmentation]):
    """An augmentation, and what it was told."""

    @property
    def smallest_section(self) -> float | None:
        """The share of the area of the smallest section that it cuts out; None where it varies whole squares."""
        if self.record.section is None:
            return None
        share = float(self.implementation("section")(self.settings))
        if not 0 < share <= 1:
            raise FtError(f"{self.component.label} cuts out {share:g} of an image; it has to be more than 0, 1 at most")
        return share

    def build(self, preprocessing: Preprocessing) -> Varied:
        """The transform to uint8 [3, S, S]."""
        transform = self.implementation("build")(preprocessing, self.settings)
        if not callable(transform):
            raise TypeError(f"{self.component.label} returned {transform!r}; it has to return a transform")
        return Varied(transform, preprocessing.crop_size, self.component.label)

    def positions(self) -> tuple[Step, ...]:
        """All that it makes of a square, each as often, that itself first, where that is a handful; else none."""
        return tuple(self.implementation("positions")(self.settings)) if self.record.positions is not None else ()

    @property
    def different(self) -> int | None:
        """How many views of an image differ; None without end."""
        return len(self.positions()) or None if self.record.varies else 1

    def about(self) -> dict[str, Any]:
        """Everything that views follow from beside code, seed, epoch and image."""
        return {"use": self.component.name, "settings": self.settings.model_dump(mode="json")}


@dataclass(frozen=True, eq=False)
class Varied:
    """A plugin's transform, whose result is looked at: loader processes get it whole."""

    transform: Callable[[Tensor], Any]
    side: int
    label: str

    def __call__(self, image: Tensor) -> Tensor:
        made = self.transform(image)
        if not isinstance(made, Tensor) or made.dtype != torch.uint8 or made.shape != (3, self.side, self.side):
            what = f"{made.dtype} {list(made.shape)}" if isinstance(made, Tensor) else with_article(type(made).__name__)
            raise TypeError(f"{self.label} made {what} of an image; it has to make uint8 [3, {self.side}, {self.side}]")
        return made


def choose_augmentation(augment: ComponentConfig, plugins: Plugins) -> ChosenAugmentation:
    """Find an augmentation. Raises FtError where there is none, or it does not take its settings."""
    component = plugins.get("augmentation", parse_reference(augment.use))
    return ChosenAugmentation(component, read_settings(component, augment.settings, KEY))


def resolve_augment(config: Config, only_head_trains: bool, plugins: Plugins) -> tuple[Config, ChosenAugmentation]:
    """Fill in `images.augment: auto`: where only the head trains, features computed once are worth more than views."""
    images = config.images
    usual = "none" if only_head_trains and not isinstance(images.views, int) else "standard"
    augment = ComponentConfig(use=usual) if images.augment.use == AUTO else images.augment
    chosen = choose_augmentation(augment, plugins)
    return config.model_copy(update={"images": images.augmented(augment, chosen.different)}), chosen
