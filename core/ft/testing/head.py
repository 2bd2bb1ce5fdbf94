"""Checks for head builders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ft.extension.installed import Component, implementation
from ft.testing.trial import Check, NotApplicable, Trial, expect
from ft.testing.worker import seeded_digest

if TYPE_CHECKING:
    from torch import nn

SIZES = ((8, 3), (5, 2))
"""Numbers of features and of classes to build heads for."""


def it_maps_features_to_classes(trial: Trial) -> None:
    """[N, feature_dim] becomes [N, num_classes], in train mode and in eval mode, without labels, in finite numbers."""
    for features, classes, head in _heads(trial, "build"):
        _maps(trial, head, [4, features], [4, classes])


def it_maps_every_position(trial: Trial) -> None:
    """build_map, where there is one: [N, feature_dim, H, W] becomes [N, num_classes, H, W]."""
    if trial.component.record.build_map is None:
        raise NotApplicable("it has no build_map")
    for features, classes, head in _heads(trial, "build_map"):
        _maps(trial, head, [4, features, 3, 2], [4, classes, 3, 2])


def it_pools_feature_maps(trial: Trial) -> None:
    """build_pool, where there is one: [N, feature_dim, H, W] becomes [N, feature_dim, 1, 1], and all of it learns."""
    import torch

    if trial.component.record.build_pool is None:
        raise NotApplicable("it has no build_pool")
    for settings in trial.read_settings():
        one, other = (seeded_digest(lambda s=settings: trial.call("build_pool", 8, s)) for _ in range(2))
        expect(one == other, f"{trial.label}: build_pool does not build the same from the same seed")
        for device in ("meta", "cpu"):
            with torch.random.fork_rng(devices=[]), torch.device(device):
                pool = trial.call("build_pool", 8, settings)
                for height, width in ((3, 2), (1, 1)):
                    _maps(trial, pool, [4, 8, height, width], [4, 8, 1, 1])
        with torch.random.fork_rng(devices=[]):
            pool(torch.rand(4, 8, 3, 2, requires_grad=True)).square().sum().backward()
        idle = [name for name, each in pool.named_parameters() if each.requires_grad and each.grad is None]
        expect(not idle, f"{trial.label}: no gradient reaches {', '.join(idle)} of its pooling")


def building_follows_the_seed(trial: Trial) -> None:
    """The same seed builds the same head, so that a run can be repeated."""
    for settings in trial.read_settings():
        one, other = (seeded_digest(lambda s=settings: trial.call("build", 8, 3, s)) for _ in range(2))
        expect(one == other, f"{trial.label} does not build the same from the same seed; draw with torch's generator")


def every_parameter_learns(trial: Trial) -> None:
    """A backward pass reaches every parameter that asks for a gradient, and there is one."""
    import torch

    for features, _, head in _heads(trial, "build"):
        trainable = {name: p for name, p in head.named_parameters() if p.requires_grad}
        expect(trainable, f"{trial.label} has no parameter to train")
        head.train()(torch.randn(4, features)).square().sum().backward()
        idle = [name for name, parameter in trainable.items() if parameter.grad is None]
        expect(not idle, f"{trial.label}: no gradient reaches {', '.join(idle)}")


def an_image_is_judged_alone(trial: Trial) -> None:
    """In eval mode the answer is repeatable, and does not depend on what else is in the batch."""
    import torch

    for features, _, head in _heads(trial, "build"):
        batch = torch.randn(4, features)
        with torch.no_grad():
            whole, again = head.eval()(batch), head(batch)
            alone = torch.cat([head(batch[i : i + 1]) for i in range(len(batch))])
        expect(torch.equal(whole, again), f"{trial.label} answers otherwise each time in eval mode")
        expect(torch.allclose(whole, alone, atol=1e-5), f"{trial.label}: the answer depends on the rest of the batch")


def its_tensors_can_be_saved(trial: Trial) -> None:
    """The state of one head makes another answer the same: everything that matters is a parameter or a buffer."""
    import torch

    for settings in trial.read_settings():
        one, other = trial.call("build", 8, 3, settings).eval(), trial.call("build", 8, 3, settings).eval()
        other.load_state_dict(one.state_dict())
        with torch.no_grad():
            batch = torch.randn(4, 8)
            expect(torch.equal(one(batch), other(batch)), f"{trial.label} keeps values outside its state_dict")


def each_class_has_its_rows(trial: Trial) -> None:
    """class_rows, where there is one, names the tensors, and only those, that grow with the number of classes."""
    if trial.component.record.class_rows is None:
        raise NotApplicable("it has no class_rows")
    for settings in trial.read_settings():
        for name in [each for each in ("build", "build_map") if getattr(trial.component.record, each) is not None]:
            head, larger = trial.call(name, 8, 3, settings), trial.call(name, 8, 4, settings)
            rows = set(trial.call("class_rows", head))
            few, more = head.state_dict(), larger.state_dict()
            expect(rows <= few.keys(), f"{trial.label} names rows that its head has not: {sorted(rows - few.keys())}")
            for tensor in few:
                then, now = list(few[tensor].shape), list(more[tensor].shape)
                wanted = [then[0] + 1, *then[1:]] if tensor in rows else then
                expect(now == wanted, f"{trial.label}: with one class more, {tensor} goes from {then} to {now}")


def it_reads_stages_that_are_there(trial: Trial) -> None:
    """reads, where there is one, names some of the stages that it is told of, for networks of any number of them."""
    if trial.component.record.reads is None:
        raise NotApplicable("it has no reads")
    for have in ((), ("stem",), ("stem", "layer1", "layer2")):
        for settings in trial.read_settings():
            named = trial.call("reads", have, settings) or ()
            wrong = [name for name in named if name not in have]
            expect(not wrong, f"{trial.label} reads {wrong} of a network with the stages {list(have)}")


def it_builds_without_values(trial: Trial) -> None:
    """`ft plan` builds on torch's meta device, where tensors have a shape and no values."""
    import torch

    with torch.device("meta"):
        for features, classes, head in _heads(trial, "build"):
            _maps(trial, head, [2, features], [2, classes])


def _heads(trial: Trial, name: str) -> Iterator[tuple[int, int, nn.Module]]:
    import torch
    from torch import nn

    for settings in trial.read_settings():
        for features, classes in SIZES:
            head: Any = trial.call(name, features, classes, settings)
            expect(isinstance(head, nn.Module), f"{trial.label} returned {head!r}; it has to return a torch.nn.Module")
            with torch.random.fork_rng(devices=[]):
                yield features, classes, head


def _maps(trial: Trial, head: nn.Module, given: list[int], wanted: list[int]) -> None:
    from ft.model.head_check import fault_of

    fault = fault_of(head, given, wanted, needs="it needs")
    expect(not fault, f"{trial.label} builds a head that {fault}")


def answer(component: Component, argument: None, settings: Any) -> str:
    """The digest of a head that it builds."""
    return seeded_digest(lambda: implementation(component, "build")(8, 3, settings))


CHECKS: tuple[Check, ...] = (
    it_maps_features_to_classes,
    it_maps_every_position,
    it_pools_feature_maps,
    building_follows_the_seed,
    every_parameter_learns,
    an_image_is_judged_alone,
    its_tensors_can_be_saved,
    each_class_has_its_rows,
    it_reads_stages_that_are_there,
    it_builds_without_values,
)
