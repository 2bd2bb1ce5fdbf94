"""One of the phases that a config lists: what it says of itself goes over the rest of the config."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_serializer

from ft.config.component import ComponentConfig, Components
from ft.config.images import Views
from ft.config.training import BetaParameter
from ft.extension.settings import Section

PLACES = {
    "freeze": "freeze",
    "train": "train",
    "epochs": "training.epochs",
    "optimizer": "training.optimizer",
    "lr": "training.lr",
    "head_lr": "training.head_lr",
    "lr_decay": "training.lr_decay",
    "weight_decay": "training.weight_decay",
    "warmup_epochs": "training.warmup_epochs",
    "patience": "training.patience",
    "mixup": "training.mixup",
    "cutmix": "training.cutmix",
    "manifold_mixup": "training.manifold_mixup",
    "ema": "training.ema",
    "swa": "training.swa",
    "soup": "training.soup",
    "clip_norm": "training.clip_norm",
    "augment": "images.augment",
    "views": "images.views",
}
"""The key of the config over which each key of a phase goes."""
MEASURED = {
    "resolved": "machine.resolved",
    "channels_last": "machine.channels_last",
    "chosen_views": "images.chosen_views",
}
"""The same of what nobody says, but what was found when the phase began."""
_USUAL: Any = None
"""Stands for "as the config says" in the fields below: what a phase does not say is not looked at."""


class PhaseConfig(Section):
    """A part of a run with a freeze, rates and images of its own. Only what is said counts, also where it is null: a
    phase with `patience: null` has none, and one that does not say it has that of `training`."""

    freeze: Components = Field(_USUAL, examples=["all"], description="as freeze; [] freezes nothing")
    train: Components = Field(
        _USUAL, examples=["until:layer4"], description="as train; a phase that says freeze alone takes nothing back"
    )
    epochs: int = Field(_USUAL, ge=1, description="its own, after those of the phases before")
    optimizer: ComponentConfig = Field(_USUAL, examples=["sgd"], description="as training.optimizer")
    lr: float | None = Field(_USUAL, gt=0, description="as training.lr; it rises and falls anew in each phase")
    head_lr: float | None = Field(_USUAL, gt=0, description="as training.head_lr")
    lr_decay: float = Field(_USUAL, gt=0, le=1, description="as training.lr_decay")
    weight_decay: float | None = Field(_USUAL, ge=0, description="as training.weight_decay")
    warmup_epochs: float = Field(_USUAL, ge=0, le=1e6, description="as training.warmup_epochs")
    patience: int | None = Field(
        _USUAL, ge=1, description="as training.patience; the phase then ends, and the next one begins"
    )
    mixup: BetaParameter = Field(_USUAL, description="as training.mixup")
    cutmix: BetaParameter = Field(_USUAL, description="as training.cutmix")
    manifold_mixup: BetaParameter = Field(_USUAL, description="as training.manifold_mixup")
    ema: float | None = Field(_USUAL, gt=0, lt=1, description="as training.ema; an average begins with the phase")
    swa: int | None = Field(_USUAL, ge=2, description="as training.swa; of the phase's last epochs")
    soup: int | None = Field(_USUAL, ge=2, description="as training.soup; of the phase's best epochs")
    clip_norm: float | None = Field(_USUAL, gt=0, description="as training.clip_norm")
    augment: ComponentConfig = Field(_USUAL, examples=["flip"], description="as images.augment")
    views: Views = Field(_USUAL, description="as images.views")

    resolved: Literal["fp32", "bf16", "fp16"] | None = Field(
        _USUAL, description="in a run's config: what machine.precision auto came to in this phase"
    )
    channels_last: bool = Field(_USUAL, description="in a run's config: the memory layout in this phase")
    chosen_views: int | None = Field(
        _USUAL, ge=0, description="in a run's config: what views auto came to in this phase; 0: always new ones"
    )

    @model_serializer
    def _as_said(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
