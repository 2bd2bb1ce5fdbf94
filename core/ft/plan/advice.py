"""What a plan warns of: settings that do nothing, or not what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.nn.modules.dropout import _DropoutNd

from ft.config.training import TrainingConfig, changed, idle_with
from ft.model.head import Model
from ft.plan.decisions import Decisions
from ft.plan.optimizer import OLDER
from ft.task.chosen import KEY, OLDER as OLDER_OF_TASK


def advice(decisions: Decisions, trainable: Sequence[str]) -> Iterator[str]:
    """Yield what in the config does nothing, or not what it says, when the parameters `trainable` train."""
    config, built, model = decisions.config, decisions.built, decisions.model
    frozen, optimizer = decisions.frozen, decisions.optimizer
    if built.choice is None and built.origin is None and frozen.names:
        yield "weights are random (--weights none) and layers are frozen: frozen layers will never learn anything"
    if isinstance(config.images.views, int) and not config.images.varies:
        yield f"--views {config.images.views} has no effect: without augmentation all views of an image are the same"
    images = config.images
    if images.varies and isinstance(images.views, int) and images.views > (images.different or images.views):
        some = images.different
        yield f"--views {images.views}: '{images.augment}' makes {some} that differ; --views {some} is the same"
    for older in changed(config.training, OLDER_OF_TASK):
        yield f"training.{older} is the older name of {KEY}.{older}; the next release does without it"
    if decisions.machine.precision == "fp16" and decisions.machine.kind == "cpu":
        yield "--precision fp16 is for GPUs without bf16; on a processor it is seldom faster than fp32"
    training, name = config.training, optimizer.component.name
    usual = TrainingConfig().of(optimizer.record)
    few = training.model_copy(update={"epochs": None}).of_images(len(decisions.data.train))
    usual = usual.model_copy(update={"epochs": few.epochs})
    given = {key for key, value in usual if getattr(training, key) != value}
    idle = {*OLDER, *idle_with(optimizer.record)} - type(optimizer.settings).model_fields.keys()
    if without := sorted((given & idle).difference(decisions.shared)):
        yield f"without effect with {name}: training.{', training.'.join(without)}"
    if training.fits_heads:
        if config.groups:
            yield f"without effect with {name}: groups"
        if dropout := _dropout(model):
            yield f"without effect with {name}: the head's dropout ('{dropout}'), since the head is fitted in eval mode"
        if auxiliary := built.backbone.head_paths[1:]:
            yield f"{name} fits no auxiliary classifiers, which predictions do without: {', '.join(auxiliary)}"
        return
    if all(built.backbone.in_head(name) for name in trainable):
        if training.lr_decay < 1 and "lr_decay" not in decisions.shared:
            yield "--lr-decay has no effect: only the head trains; its rate is --lr, or --head-lr"
        if "lr" in given and training.lr != training.head_lr and "lr" not in decisions.shared:
            yield f"--lr has no effect: only the head trains, and --head-lr is {training.head_lr:g}"
    if "warmup_epochs" in given and training.warmup_epochs > training.passes / 2:
        yield f"the warm-up of {training.warmup_epochs:g} epochs ends after {training.passes / 2:g}, half of the run"


def _dropout(model: Model) -> str:
    """The path of the first layer of the head that drops something out; "" where none does."""
    for head in model.head_paths:
        for path, layer in model.module.get_submodule(head).named_modules(prefix=head):
            if isinstance(layer, _DropoutNd) and layer.p > 0:
                return str(path)
    return ""
