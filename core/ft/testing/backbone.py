"""Checks for backbone providers, of each model that is tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ft.extension.installed import Component, implementation
from ft.extension.records import Backbone, ModelFacts
from ft.testing.common import loaded_by_importing
from ft.testing.networks import put_heads
from ft.testing.trial import Check, NotApplicable, Trial, expect
from ft.testing.worker import seeded_digest

if TYPE_CHECKING:
    import torch

CLASSES = 3
MOST_RECOMMENDED = 8
_LIST = """
from ft.extension.installed import implementation, read_settings
for component in plugins.components("backbone"):
    for name in implementation(component, "models")(read_settings(component, {}, "")):
        component.record.weights and implementation(component, "weights")(name)
        component.record.facts and implementation(component, "facts")(name)
"""


def listing_models_loads_no_torch(trial: Trial) -> None:
    """`ft models` names all models, their weights and facts without torch."""
    heavy = loaded_by_importing(trial, then=_LIST)
    expect(not heavy, f"{trial.label}: listing models, weights or facts loads {heavy}; import it in build")


def models_have_names(trial: Trial) -> None:
    """The names are those of the provider, each once, and those that are tried are among them, if it lists all."""
    for settings in trial.read_settings():
        names = list(trial.call("models", settings))
        valid = all(isinstance(name, str) and name for name in names)
        expect(valid and (names or not trial.component.record.lists_all), f"{trial.label} lists {names!r:.200}")
        expect(len(set(names)) == len(names), f"{trial.label} lists a model twice")
        absent = [name for name in trial.arguments if name not in names and trial.component.record.lists_all]
        expect(not absent, f"{trial.label} does not list {absent}")


def weights_can_be_told_apart(trial: Trial) -> None:
    """Entries have distinct names, plain file names and, where they name a digest, hexadecimal ones."""
    from ft.weights.cache import check_file_name

    if trial.component.record.weights is None:
        raise NotApplicable("it publishes no weights")
    for model in trial.arguments:
        entries = list(trial.call("weights", model))
        names = [entry.name for entry in entries]
        expect(len(set(names)) == len(names), f"{model} has two weight entries of one name: {names}")
        for entry in entries:
            check_file_name(entry.file_name)
            expect(re.fullmatch("[0-9a-fA-F]{8,64}|", entry.sha256), f"{entry.name}: sha256 '{entry.sha256}'")
            expect(not entry.classes or len(entry.classes) == entry.num_classes, f"{entry.name}: wrong class names")


def facts_are_those_of_the_network(trial: Trial) -> None:
    """`facts`, where given, tells as many parameters as the network has, auxiliary classifiers aside, and an accuracy
    in percent; what is recommended, with one line of reason, is a handful."""
    if trial.component.record.facts is None:
        raise NotApplicable("it tells no facts")
    for model, backbone in _backbones(trial, "meta"):
        facts = trial.call("facts", model)
        expect(isinstance(facts, ModelFacts), f"{model}: facts returned {facts!r:.80}, not ModelFacts")
        held = sum(parameter.numel() for parameter in backbone.module.parameters())
        if facts.parameters is not None and not backbone.aux_dims and not trial.settings[0]:
            expect(facts.parameters == held, f"{model}: facts tell {facts.parameters} parameters, it has {held}")
        expect(facts.flops is None or facts.flops > 0, f"{model}: {facts.flops} multiply-adds")
        expect(facts.accuracy is None or 1 < facts.accuracy <= 100, f"{model}: accuracy {facts.accuracy}, not percent")
    names = trial.call("models", next(trial.read_settings()))
    reasons = [facts.recommended for name in names if (facts := trial.call("facts", name)).recommended]
    expect(len(reasons) <= MOST_RECOMMENDED, f"{trial.label} recommends {len(reasons)} models; name a handful")
    expect(all(reason.isprintable() for reason in reasons), f"{trial.label} recommends in more than a line: {reasons}")


def stages_cover_the_parameters_in_order(trial: Trial) -> None:
    """Each parameter outside the head is in one stage; images pass the stages in the order they are listed."""
    for model, backbone in _backbones(trial):
        paths = {path for path, _ in backbone.module.named_modules()} | {
            n for n, _ in backbone.module.named_parameters()
        }
        wrong = [path for stage in backbone.stages for path in stage.paths if path not in paths]
        expect(not wrong, f"{model}: stages name {wrong}, which the module does not have")
        names = [stage.name for stage in backbone.stages]
        expect(len(set(names)) == len(names), f"{model}: two stages have one name: {names}")
        held = [name for stage in backbone.stages for name in backbone.parameters_under(*stage.paths)]
        missing = sorted(set(backbone.parameter_names()) - set(held))
        expect(not missing, f"{model}: no stage holds {missing[:3]}")
        expect(len(held) == len(set(held)), f"{model}: stages overlap")
        visited = _visited(backbone)
        expect(visited == sorted(visited), f"{model}: images pass the stages {[names[i] for i in visited]}")


def the_head_is_where_it_says(trial: Trial) -> None:
    """What enters the classifier has `feature_dim` features, as a vector or a map, as `head_form` says."""
    for model, backbone in _backbones(trial):
        expect(len(backbone.aux_dims) == len(backbone.head_paths) - 1, f"{model}: an aux_dim for each auxiliary head")
        idle = {path for path, part in backbone.module.named_modules() if not list(part.parameters())}
        for path in backbone.pooled_after or ():
            expect(path in idle, f"{model}: '{path}' of pooled_after is no module without parameters")
        seen: list[tuple[int, ...]] = []
        head = backbone.module.get_submodule(backbone.head_paths[0])
        hook = head.register_forward_pre_hook(lambda _, args, s=seen: s.append(tuple(args[0].shape)))
        _forward(backbone, training=False)
        hook.remove()
        expect(seen, f"{model}: nothing passes {backbone.head_paths[0]}")
        rank = 4 if backbone.head_form == "map" else 2
        fits, said = len(seen[0]) == rank and seen[0][1] == backbone.feature_dim, f"head_form {backbone.head_form}"
        expect(fits, f"{model}: {seen[0]} enters the head; {said}, {backbone.feature_dim} features")


def the_pooling_is_where_it_says(trial: Trial) -> None:
    """What lies at `pool_path` has no parameters and turns [N, feature_dim, H, W] into [N, feature_dim, 1, 1]."""
    backbones = [(model, backbone) for model, backbone in _backbones(trial) if backbone.pool_path]
    if not backbones:
        raise NotApplicable("no model that is tried has a pool_path")
    for model, backbone in backbones:
        seen: list[tuple[int, ...]] = []
        pool = backbone.module.get_submodule(backbone.pool_path)
        expect(not list(pool.parameters()), f"{model}: the pooling {backbone.pool_path} has parameters")
        hook = pool.register_forward_hook(
            lambda _, args, out, s=seen: s.extend((tuple(args[0].shape), tuple(out.shape)))
        )
        _forward(backbone, training=False)
        hook.remove()
        fits = len(seen) == 2 and seen[0][:2] == seen[1][:2] == (2, backbone.feature_dim) and seen[1][2:] == (1, 1)
        expect(fits and len(seen[0]) == 4, f"{model}: {backbone.pool_path} turns {seen[:1]} into {seen[1:]}")


def it_trains_with_a_new_head(trial: Trial) -> None:
    """With a head for other classes it gives their logits, and a backward pass reaches every parameter."""
    import torch

    for model, backbone in _backbones(trial):
        put_heads(backbone, CLASSES)
        logits = _forward(backbone, training=True)
        main = logits[0] if isinstance(logits, tuple) else logits
        expect(
            tuple(main.shape) == (2, CLASSES), f"{model} gives {tuple(main.shape)} for 2 images and {CLASSES} classes"
        )
        expect(bool(torch.isfinite(main).all()), f"{model} gives values that are not finite")
        outputs = list(logits) if isinstance(logits, tuple) else [logits]
        torch.stack([each.square().sum() for each in outputs]).sum().backward()  # type: ignore[no-untyped-call]
        idle = [name for name, p in backbone.module.named_parameters() if p.requires_grad and p.grad is None]
        expect(not idle, f"{model}: no gradient reaches {idle[:3]}")


def building_follows_the_seed(trial: Trial) -> None:
    """The same seed builds the same network."""
    for each in _one_by_one(trial):
        ((model, settings),) = zip(each.arguments, each.read_settings(), strict=True)
        one, other = (answer(trial.component, model, settings) for _ in range(2))
        expect(one == other, f"{trial.label} does not build {model} the same from the same seed")


def it_builds_without_values(trial: Trial) -> None:
    """`ft plan` and `ft models show` build on torch's meta device: same names, same shapes, no values. A network whose
    code asks for values is skipped: they build it on the CPU, which takes memory."""
    import torch

    for each in _one_by_one(trial):
        ((model, backbone),) = _backbones(each)
        try:
            ((_, empty),) = _backbones(each, "meta")
            logits = _forward(empty, training=False)
        except Exception as error:  # torch has no class for "there is no value"
            raise NotApplicable(f"{model} needs values, so ft plan takes memory for it: {error!s:.200}") from error
        if not all(tensor.is_meta for tensor in empty.module.state_dict().values()):
            raise NotApplicable(f"{model} ignores torch.device('meta'), so ft plan takes memory for it")
        shapes, other = ({name: p.shape for name, p in b.module.named_parameters()} for b in (backbone, empty))
        expect(shapes == other, f"{model} has other parameters on the meta device")
        expect(isinstance(logits, torch.Tensor), f"{model} returns {type(logits).__name__}, which is no tensor")


def a_frozen_prefix_can_be_cut(trial: Trial) -> None:
    """With all but the head frozen, what is computed once and the rest give the same logits together, bit for bit."""
    import torch

    from ft.prefix.find import find_prefix, split_module
    from ft.prefix.records import NoCut

    for model, backbone in _backbones(trial):
        put_heads(backbone, CLASSES)
        module = backbone.module.eval()
        frozen = {name for name, _ in module.named_parameters() if not backbone.in_head(name)}
        images = _images(backbone, next(module.parameters()).device)
        found = find_prefix(module, frozen, tuple(images.shape[1:]))
        if isinstance(found, NoCut):
            raise NotApplicable(f"{model} has no cut: {found}")
        halves = split_module(found)
        with torch.no_grad():
            expect(torch.equal(halves.suffix(halves.prefix(images)), module(images)), f"{model}: the halves differ")


def it_can_be_exported(trial: Trial) -> None:
    """torch.export captures it in eval mode, and what it captured gives the same logits."""
    import torch

    for model, backbone in _backbones(trial):
        module = backbone.module.eval()
        images = _images(backbone, next(module.parameters()).device)
        try:
            exported = torch.export.export(module, (images,)).module()
        except Exception as error:  # torch.export has no class for "this cannot be captured"
            expect(False, f"{model} cannot be exported: {type(error).__name__}: {error!s:.200}")
        with torch.no_grad():
            same = torch.allclose(exported(images), module(images), atol=1e-4)
        expect(same, f"{model}: exported, it gives other logits")


def _need_models(trial: Trial) -> None:
    if not trial.arguments:
        raise NotApplicable("it lists no model to try")


def _backbones(trial: Trial, device: str = "cpu") -> Iterator[tuple[str | None, Backbone]]:
    import torch

    _need_models(trial)
    for settings in trial.read_settings():
        for model in trial.arguments:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                with torch.device(device):
                    backbone = trial.call("build", model, settings)
                expect(isinstance(backbone, Backbone), f"{trial.label} returned {backbone!r:.80}, not a Backbone")
                yield model, backbone


def _one_by_one(trial: Trial) -> Iterator[Trial]:
    """The trial of each model with each settings."""
    _need_models(trial)
    for values in trial.settings:
        yield from (replace(trial, arguments=(model,), settings=(values,)) for model in trial.arguments)


def _images(backbone: Backbone, device: Any) -> torch.Tensor:
    import torch

    side = backbone.fixed_image_size or max(backbone.min_image_size, 32)
    return torch.randn(2, 3, side, side, device=device)


def _forward(backbone: Backbone, training: bool) -> Any:
    module = backbone.module.train(training)
    return module(_images(backbone, next(module.parameters()).device))


def _visited(backbone: Backbone) -> list[int]:
    """The stages in the order in which an image first reaches a module of theirs that holds parameters itself."""
    order: list[int] = []
    hooks = []

    def reaches(number: int) -> Any:
        return lambda *_: None if number in order else order.append(number)

    for number, stage in enumerate(backbone.stages):
        for path, module in backbone.module.named_modules():
            inside = any(path == p or path.startswith(f"{p}.") for p in stage.paths)
            if inside and not backbone.in_head(path) and any(True for _ in module.parameters(recurse=False)):
                hooks.append(module.register_forward_pre_hook(reaches(number)))
    _forward(backbone, training=False)
    for hook in hooks:
        hook.remove()
    return order


def answer(component: Component, model: str | None, settings: Any) -> str:
    """The digest of a network that it builds."""
    return seeded_digest(lambda: implementation(component, "build")(model, settings).module)


CHECKS: tuple[Check, ...] = (
    listing_models_loads_no_torch,
    models_have_names,
    weights_can_be_told_apart,
    facts_are_those_of_the_network,
    stages_cover_the_parameters_in_order,
    the_head_is_where_it_says,
    the_pooling_is_where_it_says,
    it_trains_with_a_new_head,
    building_follows_the_seed,
    it_builds_without_values,
    a_frozen_prefix_can_be_cut,
    it_can_be_exported,
)
