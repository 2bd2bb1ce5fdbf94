"""Decides what a run will do, once everything is known that it follows from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from ft.config.schema import Config
from ft.data.order import epoch_batches
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Backbone, Stage
from ft.model.freezing import FrozenChoice, frozen_modules, trainable_names
from ft.model.head import Model
from ft.plan.advice import advice
from ft.plan.averaging import check_averaging
from ft.plan.blending import check_blending
from ft.plan.decisions import Decisions
from ft.plan.groups import make_groups
from ft.plan.records import ParamGroup, Plan, StagePlan
from ft.text.redaction import without_secrets


def make_plan(decisions: Decisions, plugins: Plugins) -> Plan:
    """Decide everything that training needs to know. Raises FtError when nothing would train, or could not."""
    config, data, machine, cache = decisions.config, decisions.data, decisions.machine, decisions.cache
    built, model, frozen, optimizer = decisions.built, decisions.model, decisions.frozen, decisions.optimizer
    training = config.training
    trainable = trainable_names(model.module, frozen.names)
    if not trainable or (not model.new_head and all(built.backbone.in_head(name) for name in trainable)):
        raise FtError("everything is frozen and the head is kept, so nothing would train; use --head linear or --train")
    groups = make_groups(model, built.backbone, trainable, config, plugins)
    modules = frozen_modules(model.module, frozen.names, model.head_paths)
    planned = optimizer.planned()
    solves = planned.solves
    check_averaging(training, planned.name, config.time_budget is not None)
    check_blending(training, planned.name, cache)
    if planned.fits_heads and cache.keeps != "features":
        raise FtError(f"--optimizer {planned.name} works on features computed once, and there are none: {cache.reason}")
    steps = 1 if solves else len(epoch_batches(len(data.train), training.batch_size, config.seed, 0, shuffle=True))
    numel = {name: parameter.numel() for name, parameter in model.module.named_parameters()}
    moving = _moving_batchnorms(model.module)
    if moving and min(training.batch_size, len(data.train)) == 1:
        raise FtError(f"'{moving[0]}' needs more than one image a batch to train; use --batch-size 2 or freeze it")
    return Plan(
        backbone=built.reference,
        weights=built.weights,
        head=model.description,
        stages=tuple(_stage_rows(model, built.backbone, frozen, groups, numel)),
        frozen=tuple(sorted(frozen.names)),
        frozen_modules=modules,
        frozen_numel=sum(numel[name] for name in frozen.names),
        trainable_numel=sum(numel[name] for name in trainable),
        groups=groups,
        data=data.source,
        classes=data.space.names,
        images={"train": len(data.train), "val": len(data.val), "test": len(data.test)},
        epochs=decisions.place.begins + (len(planned.penalties) if solves else training.passes),
        steps_per_epoch=steps,
        warmup_steps=0 if solves else min(math.ceil(training.warmup_epochs * steps), training.passes * steps // 2),
        aux_loss_weight=built.backbone.aux_loss_weight,
        device=machine.device,
        precision=machine.precision,
        image_size=built.preprocessing.crop_size,
        augment=str(config.images.augment),
        recipe=_recipe(config),
        cache=cache,
        notes=data.all_notes,
        warnings=(*frozen.warnings, *data.warnings, *advice(decisions, trainable)),
        selected=frozen.selected,
        paces={tried.describe(): round(pace, 1) for tried, pace in decisions.paces.items()},
        optimizer=planned,
        task=data.task.name,
        figures=data.task.figures,
        noun=data.task.record.noun,
        place=decisions.place,
        from_recipe=str(config.recipe or ""),
    )


LATER = ("cutmix", "manifold_mixup", "ema", "swa", "soup")
"""Keys of `training` that runs of before lack, told where they are given, so that such a run goes on as it began."""


def _recipe(config: Config) -> dict[str, Any]:
    told = {"epochs", "lr", "head_lr", "lr_decay", "weight_decay", "derived"}  # by the groups, or the number of steps
    training = config.training.model_dump(mode="json", exclude={*told, "auto_batch"})
    training = {name: value for name, value in training.items() if value or name not in LATER}
    named = {"backbone", "head"} | ({"task"} if config.task != type(config).model_fields["task"].default else set())
    components = config.model_dump(mode="json", include=named)
    return {
        **without_secrets(components),  # as in the config.yaml that a run goes on from
        "seed": config.seed,
        "images.fit": config.images.fit,
        "images.views": config.images.replayed,
        **({"from_run": {"head": start.head, "sha256": start.sha256}} if (start := config.from_run) else {}),
        **({"lora": config.lora.model_dump(mode="json")} if config.lora.rank else {}),
        **({"images.range": list(config.images.value_range)} if config.images.value_range else {}),
        **{f"training.{name}": value for name, value in training.items()},
    }


def _stage_rows(
    model: Model,
    backbone: Backbone,
    frozen: FrozenChoice,
    groups: Sequence[ParamGroup],
    numel: Mapping[str, int],
) -> Iterator[StagePlan]:
    lr = {name: group.lr for group in groups for name in group.parameters}
    all_norms = [path for path, part in model.module.named_modules() if _is_batchnorm(part)]

    def row(name: str, listed: Sequence[str], paths: Sequence[str]) -> StagePlan:
        names = [n for n in listed if n in numel]  # a shared parameter counts once, under its first name
        norms = [path for path in all_norms if _inside(path, paths) and (name == "head" or not backbone.in_head(path))]
        return StagePlan(
            name=name,
            numel=sum(numel[n] for n in names),
            frozen_numel=sum(numel[n] for n in names if n in frozen.names),
            batchnorm_fixed=sum(not model.module.get_submodule(path).training for path in norms),
            batchnorm_moving=sum(model.module.get_submodule(path).training for path in norms),
            rules=tuple(dict.fromkeys(frozen.rules[n] for n in names if n in frozen.rules)),
            lrs=tuple(dict.fromkeys(lr[n] for n in names if n in lr)),
        )

    stages: Sequence[Stage] = backbone.stages
    for stage in stages:
        yield row(stage.name, backbone.parameters_under(*stage.paths), stage.paths)
    listed = (*(path for stage in stages for path in stage.paths), *backbone.head_paths)
    for path in all_norms:  # those without parameters need not be in a stage
        if not _inside(path, listed):
            yield row(path, (), (path,))
    yield row("head", [name for name in numel if backbone.in_head(name)], backbone.head_paths)


def _moving_batchnorms(module: nn.Module) -> list[str]:
    return [path for path, part in module.named_modules() if isinstance(part, _BatchNorm) and part.training]


def _is_batchnorm(part: nn.Module) -> bool:
    """Whether a layer is BatchNorm, or another normalisation that keeps running statistics."""
    return isinstance(part, _BatchNorm) or (isinstance(part, _NormBase) and part.running_mean is not None)


def _inside(path: str, paths: Sequence[str]) -> bool:
    return any(path == p or path.startswith(p + ".") for p in paths)
