"""What a plan warns of: settings that do nothing, or not what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.nn.modules.dropout import _DropoutNd

from ft.config.schema import Config
from ft.config.training import TrainingConfig, changed
from ft.model.backbone import BuiltBackbone
from ft.model.freezing import FrozenChoice
from ft.model.head import Model
from ft.plan.optimizer import OLDER, ChosenOptimizer
from ft.task.chosen import KEY, OLDER as OLDER_OF_TASK

_OF_STEPS = (
    *("lr", "head_lr", "lr_decay", "weight_decay", "clip_norm", "warmup_epochs", "epochs"),
    *("patience", "auto_batch"),
)
"""Keys of `training` without effect where no steps are taken."""


def advice(
    config: Config,
    built: BuiltBackbone,
    model: Model,
    frozen: FrozenChoice,
    trainable: Sequence[str],
    optimizer: ChosenOptimizer,
) -> Iterator[str]:
    """Yield what in `config` does nothing, or not what it says, when the parameters `trainable` train."""
    if built.choice is None and frozen.names:
        yield "weights are random (--weights none) and layers are frozen: frozen layers will never learn anything"
    if isinstance(config.images.views, int) and not config.images.varies:
        yield f"--views {config.images.views} has no effect: without augmentation all views of an image are the same"
    for older in changed(config.training, OLDER_OF_TASK):
        yield f"training.{older} is the older name of {KEY}.{older}; the next release does without it"
    training, name = config.training, optimizer.component.name
    usual = TrainingConfig().of(optimizer.record)
    given = {key for key, value in usual if getattr(training, key) != value}
    idle = {*OLDER, *(_OF_STEPS if training.solves else ())} - type(optimizer.settings).model_fields.keys()
    if without := sorted(given & idle):
        yield f"without effect with {name}: training.{', training.'.join(without)}"
    if training.solves:
        if dropout := _dropout(model):
            yield f"without effect with {name}: the head's dropout ('{dropout}'), since the head is fitted in eval mode"
        if auxiliary := built.backbone.head_paths[1:]:
            yield f"{name} fits no auxiliary classifiers, which predictions do without: {', '.join(auxiliary)}"
        return
    if all(built.backbone.in_head(name) for name in trainable):
        if training.lr_decay < 1:
            yield "--lr-decay has no effect: only the head trains; its rate is --lr, or --head-lr"
        if "lr" in given and training.lr != training.head_lr:
            yield f"--lr has no effect: only the head trains, and --head-lr is {training.head_lr:g}"
    if "warmup_epochs" in given and training.warmup_epochs > training.epochs / 2:
        yield f"the warm-up of {training.warmup_epochs:g} epochs ends after {training.epochs / 2:g}, half of the run"


def _dropout(model: Model) -> str:
    """The path of the first layer of the head that drops something out; "" where none does."""
    for head in model.head_paths:
        for path, layer in model.module.get_submodule(head).named_modules(prefix=head):
            if isinstance(layer, _DropoutNd) and layer.p > 0:
                return str(path)
    return ""
