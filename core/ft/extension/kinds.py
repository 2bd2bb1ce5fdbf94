"""The kinds of extension: for each a record that plugins hand to ft, and a line that says what there is of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ft.extension.records import Lazy

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class BackboneProvider:
    """Builds backbones.

    `models(settings) -> Sequence[str]`, `weights(model_name) -> Sequence[WeightEntry]` (the default one first) and
    `build(model_name, settings) -> Backbone` with random weights. `facts(model_name) -> ModelFacts` tells what `ft
    models` shows beside the names. Unless it `lists_all`, `build` takes other names.
    A name that stands for code is written as ft writes code, FILE.py:NAME or PACKAGE.MODULE:NAME, so that a file from
    elsewhere cannot have it run unasked.
    """

    name: str
    summary: str
    models: Lazy
    build: Lazy
    weights: Lazy | None = None
    settings: type[BaseModel] | str | None = None
    lists_all: bool = True
    facts: Lazy | None = None


@dataclass(frozen=True)
class FreezeStrategy:
    """Decides what is frozen: `select(backbone, argument, settings) -> set of parameter names`.

    It never touches `requires_grad`; ft applies the decision in one place. `argument` is the text after the first
    colon of the reference, or None. A strategy that selects nothing is the user's mistake unless `allows_empty`.

    With `needs_data` it is `select(backbone, argument, settings, batches)`: an iterable, each time from the beginning,
    of (images [N, 3, S, S], labels [N]) of the training set, in an order that follows from the seed, preprocessed as
    in evaluation and on the module's device. The module then has its pretrained weights and the new head, whose
    classes the labels count, and is in eval mode.
    """

    name: str
    summary: str
    select: Lazy
    settings: type[BaseModel] | str | None = None
    example: str = ""
    allows_empty: bool = False
    needs_data: bool = False


@dataclass(frozen=True)
class HeadBuilder:
    """Builds the layers that map features to classes: `build(feature_dim, num_classes, settings) -> nn.Module`.

    The module takes [N, feature_dim] and returns [N, num_classes]. `build_map`, where given, builds its counterpart
    for backbones that classify every position and pool afterwards: [N, feature_dim, H, W] to [N, num_classes, H, W].
    `build_pool(feature_dim, settings)`, where given, builds what pools the backbone's last feature map for this head:
    [N, feature_dim, H, W] to [N, feature_dim, 1, 1]. It replaces the module at the backbone's `pool_path`.
    """

    name: str
    summary: str
    build: Lazy
    build_map: Lazy | None = None
    build_pool: Lazy | None = None
    settings: type[BaseModel] | str | None = None


@dataclass(frozen=True)
class WeightSource:
    """Where weights come from: `fetch(entry, argument, settings, cache) -> Path` of a verified local file.

    `is_here(entry, argument) -> bool`, where given, says whether the file already is on this machine outside the cache.
    It reads no file and asks no network.
    """

    name: str
    summary: str
    fetch: Lazy
    settings: type[BaseModel] | str | None = None
    example: str = ""
    is_here: Lazy | None = None


@dataclass(frozen=True)
class DataSource:
    """Where images come from: `load(argument, settings) -> Iterable[Sample | Remark]`.

    A `load` that has a parameter `cache` is given a DataCache with it. Labels are class names; the core maps them to
    numbers, splits what has no split, and checks every image.
    """

    name: str
    summary: str
    load: Lazy
    settings: type[BaseModel] | str | None = None
    example: str = ""


Extension = BackboneProvider | FreezeStrategy | HeadBuilder | WeightSource | DataSource


@dataclass(frozen=True)
class Kind:
    """A kind of extension: its name in `ft describe KIND:NAME`, its hook, its record, its callables that must exist."""

    name: str
    hook: str
    record: type[Any]
    noun: str
    callables: tuple[str, ...]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("backbone", "ft_backbone_providers", BackboneProvider, "backbone provider", ("models", "build")),
        Kind("freeze", "ft_freeze_strategies", FreezeStrategy, "freezing strategy", ("select",)),
        Kind("head", "ft_head_builders", HeadBuilder, "head builder", ("build",)),
        Kind("weights", "ft_weight_sources", WeightSource, "weight source", ("fetch",)),
        Kind("data", "ft_data_sources", DataSource, "data source", ("load",)),
    )
}
