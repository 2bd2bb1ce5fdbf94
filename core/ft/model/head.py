"""The model that trains: a backbone whose classifiers are replaced by heads for one's own classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ft.config.schema import ComponentConfig
from ft.errors import FtError
from ft.extension.installed import Component, Plugins, implementation, read_settings
from ft.extension.records import Backbone
from ft.extension.references import parse_reference
from ft.extension.settings import Settings, validate
from ft.machine.randomness import seeded
from ft.machine.sizes import within_memory
from ft.model.head_check import fault_of
from ft.model.stages_read import with_stages_read

KEEP = "keep"
"""The one head that no plugin builds: the pretrained classifier stays."""

Form = Literal["vector", "map"]


@dataclass(frozen=True)
class Model:
    """The `backbone` is the one that got the head, rewired where that reads several stages. `head_paths` holds the
    pooling, too, where the head came with one. `description` has a line for each head path,
    as in "fc: Linear(512 → 2) replaces Linear(512 → 1000)"."""

    backbone: Backbone
    head_paths: tuple[str, ...]
    description: tuple[str, ...]
    new_head: bool
    head_builder: str = ""
    """Which head builder, of which distribution and version, made the head; "" where it is kept."""
    adapted: tuple[str, ...] = ()
    """Paths of the layers beside which there are low-rank adapters."""

    @property
    def module(self) -> nn.Module:
        """All of the network."""
        return self.backbone.module


def build_model(backbone: Backbone, head: ComponentConfig, outputs: int, plugins: Plugins, seed: int) -> Model:
    """Replace, in place, what lies at each of `backbone.head_paths` by a new head with so many `outputs`.

    A head that pools replaces what lies at `backbone.pool_path`, too. In place of a classifier of positions comes one
    that pools first, where the backbone says what pools after it. For a head that reads several stages the network is
    rewired, and shares its layers with the one that was given. `head` names a head builder, or is "keep". The
    same seed gives the same head, whatever was drawn before, and torch's generator is left as it was. Raises FtError
    when a head does not turn features into `outputs` values.
    """
    module = backbone.module
    device = next(module.parameters()).device
    if head.use == KEEP:
        validate(Settings, head.settings, "head")
        for path, dim, form in _slots(backbone):
            _check_kept(module.get_submodule(path), path, dim, outputs, form, device)
        kept = tuple(f"{path}: keeps {describe(module.get_submodule(path))}" for path in backbone.head_paths)
        return Model(backbone, backbone.head_paths, kept, new_head=False)
    component, settings = find_head_builder(head, plugins)
    backbone, read = with_stages_read(backbone, component, settings)
    module = backbone.module
    build = _builder(component, settings, outputs, device)
    idle = backbone.pooled_after if backbone.head_form == "map" else None
    with seeded(seed), within_memory(_label(component)):
        heads = {path: build(dim, "vector" if idle is not None else form) for path, dim, form in _slots(backbone)}
        pool: nn.Module | None = None
        if component.record.build_pool is not None:
            pool = _pool(component, settings, backbone, device)
        if idle is not None:
            main = backbone.head_paths[0]
            heads[main] = _pooled_first(pool or nn.AdaptiveAvgPool2d(1), heads[main])
        elif pool is not None:
            heads[backbone.pool_path] = pool
    lines = [f"{path}: {describe(new)} replaces {describe(module.get_submodule(path))}" for path, new in heads.items()]
    lines += [f"reads {read}"] if read else []
    for path in idle or ():
        lines.append(f"{path}: {describe(module.get_submodule(path))} goes, since the head pools")
        module.set_submodule(path, nn.Identity())
    for path, new in heads.items():
        module.set_submodule(path, new)
    paths, told = tuple(heads), tuple(lines)
    return Model(backbone, paths, told, new_head=True, head_builder=_label(component))


def _pooled_first(pool: nn.Module, head: nn.Module) -> nn.Module:
    """[N, D, H, W] to what `head` makes of the pooled [N, D]."""
    return nn.Sequential(OrderedDict(pool=pool, flatten=nn.Flatten(), head=head))


def describe(module: nn.Module) -> str:
    """The layers inside a head, as in "Dropout(0.2), Linear(512 → 2)"."""
    return ", ".join(_layer(part) for part in module.modules() if not any(True for _ in part.children()))


def _layer(layer: nn.Module) -> str:
    name = type(layer).__name__
    if isinstance(layer, nn.Linear):
        return f"{name}({layer.in_features} → {layer.out_features})"
    if isinstance(layer, nn.Conv2d):
        return f"{name}({layer.in_channels} → {layer.out_channels})"
    if isinstance(layer, nn.Dropout):
        return f"{name}({layer.p:g})"
    return name


def _slots(backbone: Backbone) -> Iterator[tuple[str, int, Form]]:
    """Where a head goes, how many features it gets, and in which form; auxiliary classifiers take vectors."""
    main, *auxiliary = backbone.head_paths
    yield main, backbone.feature_dim, backbone.head_form
    for path, dim in zip(auxiliary, backbone.aux_dims, strict=True):
        yield path, dim, "vector"


def find_head_builder(head: ComponentConfig, plugins: Plugins) -> tuple[Component, Any]:
    """The head builder that `head` names, with its settings. Raises FtError where there is none, or they do not fit."""
    component = plugins.get("head", parse_reference(head.use))
    return component, read_settings(component, head.settings, "head")


def _builder(
    component: Component, settings: Any, outputs: int, device: torch.device
) -> Callable[[int, Form], nn.Module]:
    """Return a function that builds, from a number of features and a form, a head that is known to fit."""
    label = _label(component)

    def build(dim: int, form: Form) -> nn.Module:
        if form == "map" and component.record.build_map is None:
            raise FtError(
                f"{label} has no build_map, which a backbone that classifies every position needs; use --head linear"
            )
        made = implementation(component, "build_map" if form == "map" else "build")(dim, outputs, settings)
        if not isinstance(made, nn.Module):
            raise FtError(f"{label} returned {made!r}; it has to return a torch.nn.Module")
        given, wanted = _shapes(dim, outputs, form)
        if fault := fault_of(made, given, wanted, needs="the task needs"):
            raise FtError(f"{label} built a head that {fault}")
        return made.to(device)

    return build


def _pool(component: Component, settings: Any, backbone: Backbone, device: torch.device) -> nn.Module:
    """The head's own pooling of the last feature map, which is known to fit."""
    label = _label(component)
    if not backbone.pool_path and (backbone.head_form == "vector" or backbone.pooled_after is None):
        raise FtError(
            f"{label} pools the last feature map itself, and {backbone} has no pooling layer that it could replace; "
            "use --head linear"
        )
    made = implementation(component, "build_pool")(backbone.feature_dim, settings)
    if not isinstance(made, nn.Module):
        raise FtError(f"{label} returned {made!r} from build_pool; it has to return a torch.nn.Module")
    if fault := fault_of(
        made, [2, backbone.feature_dim, 3, 2], [2, backbone.feature_dim, 1, 1], needs="the head needs"
    ):
        raise FtError(f"{label} built a pooling that {fault}")
    return made.to(device)


def _label(component: Component) -> str:
    return f"head builder '{component.name}' of {component.distribution} {component.version}"


def _check_kept(classifier: nn.Module, path: str, dim: int, outputs: int, form: Form, device: torch.device) -> None:
    given, _ = _shapes(dim, outputs, form)
    classifier.eval()
    with torch.no_grad():
        gives = classifier(torch.zeros(given, device=device)).shape[1]
    classifier.train()
    if gives != outputs:
        raise FtError(
            f"--head keep keeps '{path}', which gives {gives} numbers an image, and the task needs {outputs}; "
            "use --head linear"
        )


def _shapes(dim: int, outputs: int, form: Form) -> tuple[list[int], list[int]]:
    """The shapes of two images' features and of what a head makes of them."""
    places = [1, 1] if form == "map" else []
    return [2, dim, *places], [2, outputs, *places]
