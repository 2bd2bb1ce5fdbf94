"""What a run will do, as plain data: computed once, printed by `ft plan`, obeyed by training."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from ft.config.schema import Config, GroupConfig
from ft.config.training import TrainingConfig
from ft.data.load import ImageData
from ft.data.order import epoch_batches
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Backbone, Stage
from ft.machine.devices import Machine
from ft.model.backbone import BuiltBackbone
from ft.model.freezing import FrozenChoice, frozen_modules, select_parameters, trainable_names
from ft.model.head import Model
from ft.plan.advice import advice
from ft.plan.decay import without_decay
from ft.plan.records import CachePlan
from ft.text.redaction import without_secrets

NOT_DECISIVE = ("weights", "data", "notes", "warnings", "cache", "selected", "paces")


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that share a peak learning rate and a weight decay."""

    name: str
    lr: float
    weight_decay: float
    parameters: tuple[str, ...]
    numel: int


@dataclass(frozen=True)
class StagePlan:
    """What becomes of one stage. Numbers count scalar parameters; BatchNorm is counted in layers.

    `rules` are the references that decided here; `lrs` the peak learning rates of what trains.
    """

    name: str
    numel: int
    frozen_numel: int
    batchnorm_fixed: int
    batchnorm_moving: int
    rules: tuple[str, ...]
    lrs: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """Exactly what will happen. `frozen` names parameters, `frozen_modules` the modules that stay in eval mode.

    `selected` is what freezing strategies that looked at images selected, `recipe` the settings that decide which
    numbers come out and that nothing else here tells, by their place in the config. `paces` are the images a second of
    a training step in each arithmetic and layout that was tried, so that the fastest could be taken.
    """

    backbone: str
    weights: str
    head: tuple[str, ...]
    stages: tuple[StagePlan, ...]
    frozen: tuple[str, ...]
    frozen_modules: tuple[str, ...]
    frozen_numel: int
    trainable_numel: int
    groups: tuple[ParamGroup, ...]
    data: str
    classes: tuple[str, ...]
    images: Mapping[str, int]
    epochs: int
    steps_per_epoch: int
    warmup_steps: int
    aux_loss_weight: float
    device: str
    precision: str
    image_size: int
    augment: str
    recipe: Mapping[str, Any]
    cache: CachePlan
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    selected: Mapping[str, tuple[str, ...]]
    paces: Mapping[str, float]

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def decisive(self) -> dict[str, Any]:
        """What decides which numbers come out: not where weights and images lie, what is kept, what was said or why."""
        return {key: value for key, value in asdict(self).items() if key not in NOT_DECISIVE}

    def digest(self) -> str:
        """A short name for everything that decides which numbers come out."""
        text = json.dumps(self.decisive(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_plan(
    model: Model,
    built: BuiltBackbone,
    frozen: FrozenChoice,
    cache: CachePlan,
    data: ImageData,
    config: Config,
    machine: Machine,
    paces: Mapping[Machine, float],
    plugins: Plugins,
) -> Plan:
    """Decide everything that training needs to know. Raises FtError when nothing would train, or could not."""
    training = config.training
    trainable = trainable_names(model.module, frozen.names)
    if not trainable or (not model.new_head and all(built.backbone.in_head(name) for name in trainable)):
        raise FtError("everything is frozen and the head is kept, so nothing would train; use --head linear or --train")
    groups = make_groups(model, built.backbone, trainable, config, plugins)
    modules = frozen_modules(model.module, frozen.names, model.head_paths)
    lbfgs = training.optimizer == "lbfgs"
    if lbfgs and cache.keeps != "features":
        raise FtError(f"--optimizer lbfgs works on features computed once, and there are none: {cache.reason}")
    steps = 1 if lbfgs else len(epoch_batches(len(data.train), training.batch_size, config.seed, 0, shuffle=True))
    numel = {name: parameter.numel() for name, parameter in model.module.named_parameters()}
    moving = _moving_batchnorms(model.module)
    if moving and min(training.batch_size, len(data.train)) == 1:
        raise FtError(f"'{moving[0]}' needs more than one image a batch to train; use --batch-size 2 or freeze it")
    return Plan(
        backbone=built.reference,
        weights=(built.fetched or built.choice).describe() if built.choice else "none (random)",
        head=model.description,
        stages=tuple(_stage_rows(model, built.backbone, frozen, groups, numel)),
        frozen=tuple(sorted(frozen.names)),
        frozen_modules=modules,
        frozen_numel=sum(numel[name] for name in frozen.names),
        trainable_numel=sum(numel[name] for name in trainable),
        groups=groups,
        data=data.source,
        classes=data.classes,
        images={"train": len(data.train), "val": len(data.val), "test": len(data.test)},
        epochs=len(training.penalties) if lbfgs else training.epochs,
        steps_per_epoch=steps,
        warmup_steps=0 if lbfgs else min(math.ceil(training.warmup_epochs * steps), training.epochs * steps // 2),
        aux_loss_weight=built.backbone.aux_loss_weight,
        device=machine.device,
        precision=machine.precision,
        image_size=built.preprocessing.crop_size,
        augment=config.images.augment,
        recipe=_recipe(config),
        cache=cache,
        notes=data.notes,
        warnings=(*frozen.warnings, *data.warnings, *advice(config, built, model, frozen, trainable)),
        selected=frozen.selected,
        paces={tried.describe(): round(pace, 1) for tried, pace in paces.items()},
    )


def _recipe(config: Config) -> dict[str, Any]:
    told = {"epochs", "lr", "head_lr", "lr_decay", "weight_decay"}  # by the groups, or the number of steps
    training = config.training.model_dump(mode="json", exclude={*told, "auto_batch"})
    components = config.model_dump(mode="json", include={"backbone", "head"})
    return {
        **without_secrets(components),  # as in the config.yaml that a run goes on from
        "seed": config.seed,
        "images.fit": config.images.fit,
        "images.views": config.images.views,
        **({"images.range": list(config.images.value_range)} if config.images.value_range else {}),
        **{f"training.{name}": value for name, value in training.items()},
    }


def make_groups(
    model: Model, backbone: Backbone, trainable: Sequence[str], config: Config, plugins: Plugins
) -> tuple[ParamGroup, ...]:
    """Sort trainable parameters into groups: the head, then stages from the output to the input.

    A stage's peak learning rate is `lr * lr_decay ** distance`, the head's distance being 0 (layer-wise decay: Howard
    & Ruder 2018, section 3.1). Weight decay leaves out what `without_decay` names. What `config.groups` selects takes
    its values from there.
    """
    training = config.training
    overrides = list(_overrides(config.groups, trainable, backbone, plugins))
    place = _places(backbone, training)
    spared = without_decay(model.module)
    parameters = dict(model.module.named_parameters())
    collected: dict[tuple[str, float, float], list[str]] = {}
    for name in trainable:
        label, lr = ("head", _given(training.head_lr)) if backbone.in_head(name) else place[name]
        decay = 0.0 if name in spared else _given(training.weight_decay)
        for group, names in overrides:
            if name in names:
                label = group.match.use
                lr = lr if group.lr is None else group.lr
                decay = decay if group.weight_decay is None else group.weight_decay
        collected.setdefault((label, lr, decay), []).append(name)
    order = {label: -i for i, label in enumerate(dict.fromkeys(label for label, _ in place.values()))}
    keys = sorted(collected, key=lambda key: (order.get(key[0], -len(order) - 1), -key[2]))
    return tuple(
        ParamGroup(
            label if decay else f"{label}, no decay", lr, decay, tuple(names), sum(parameters[n].numel() for n in names)
        )
        for label, lr, decay in keys
        for names in [collected[label, lr, decay]]
    )


def _given(value: float | None) -> float:
    assert value is not None, "the config resolves learning rates and weight decay"
    return value


def _places(backbone: Backbone, training: TrainingConfig) -> dict[str, tuple[str, float]]:
    """Parameter name -> (group label, peak learning rate), for everything outside the head."""
    depth = len(backbone.stages)
    return {
        name: (
            stage.name if training.lr_decay < 1 else "backbone",
            _given(training.lr) * training.lr_decay ** (depth - index),
        )
        for index, stage in enumerate(backbone.stages)
        for name in backbone.parameters_under(*stage.paths)
    }


def _overrides(
    groups: Sequence[GroupConfig], trainable: Sequence[str], backbone: Backbone, plugins: Plugins
) -> Iterator[tuple[GroupConfig, frozenset[str]]]:
    for group in groups:
        names = select_parameters(group.match, "groups.match", backbone, plugins)
        if names.isdisjoint(trainable):
            raise FtError(f"the param group '{group.match.use}' selects only what is frozen; drop it, or add --train")
        yield group, names


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
