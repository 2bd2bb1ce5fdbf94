"""Which parameters learn at which rate: param groups, from the head back to the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ft.config.schema import Config, GroupConfig
from ft.config.training import TrainingConfig
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Backbone
from ft.model.freezing import select_parameters
from ft.model.head import Model
from ft.plan.decay import without_decay
from ft.plan.records import ParamGroup


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
