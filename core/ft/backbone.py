"""Builds the backbone that the config names: a provider's architecture with a weight source's tensors in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from ft.config import Config
from ft.display import Display
from ft.errors import FtError, did_you_mean
from ft.extensions import Backbone, Preprocessing, WeightEntry
from ft.images import effective_preprocessing
from ft.plugins import Component, Plugins, implementation, read_settings
from ft.references import parse_reference
from ft.state_dict import load_into, read_tensors
from ft.weights import FetchedWeights, WeightChoice, choose_weights, fetch_weights


@dataclass(frozen=True)
class BuiltBackbone:
    """A backbone, what it is called, whose weights it has, and what will be done to its images."""

    backbone: Backbone
    reference: str
    component: Component
    choice: WeightChoice | None
    preprocessing: Preprocessing
    fetched: FetchedWeights | None = None
    notes: tuple[str, ...] = ()


def build_backbone(
    config: Config, plugins: Plugins, display: Display, tensors: Literal["pretrained", "random", "empty"]
) -> BuiltBackbone:
    """Build `config.backbone` and, when `tensors` is "pretrained", load `config.weights` into it.

    "random" leaves the weights as they were drawn from the seed; "empty" gives tensors that have shapes and no values
    (torch's meta device), all a plan needs. Neither looks for a weight file. Raises FtError for a name, an entry or a
    size that does not fit, and for weights that cannot be had.
    """
    component, model_name = find_model(config.backbone.use, plugins)
    settings = read_settings(component, config.backbone.settings, "backbone")
    choice = choose_weights(config.weights, weight_entries(component, model_name), config.backbone.use, plugins)
    with torch.random.fork_rng(devices=[]), torch.device("meta" if tensors == "empty" else "cpu"):
        torch.manual_seed(config.seed)
        backbone: Backbone = implementation(component, "build")(model_name, settings)
    published = choice.entry.preprocessing if choice else backbone.preprocessing
    preprocessing = effective_preprocessing(published, config.images)
    _check_image_size(backbone, preprocessing.crop_size, config.backbone.use)
    built = BuiltBackbone(backbone, config.backbone.use, component, choice, preprocessing)
    if tensors != "pretrained" or choice is None:
        return built
    with display.download() as progress:
        fetched = fetch_weights(choice, plugins, progress)
    report = load_into(backbone, read_tensors(fetched.path), str(fetched.path))
    return replace(built, fetched=fetched, notes=(*fetched.notes, *report.notes))


def find_model(use: str, plugins: Plugins) -> tuple[Component, str]:
    """Return the provider and the model name that `use` names. Raises FtError with the nearest names."""
    reference = parse_reference(use)
    if reference.argument is None and not plugins.has("backbone", reference.name):
        raise FtError(_provider_missing(use, plugins))
    component = plugins.get("backbone", reference)
    names = model_names(component)
    if reference.argument not in names:
        wanted = reference.argument or ""
        some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        what = f"{component.name} has no model named '{wanted}'" if wanted else f"'{use}' names no model"
        raise FtError(f"{what}.{did_you_mean(wanted, names)} It has {len(names)}: {some} (see ft models)")
    assert reference.argument is not None
    return component, reference.argument


def model_names(component: Component) -> Sequence[str]:
    """Names of all models of a provider, with its default settings."""
    settings = read_settings(component, {}, "backbone")
    return list(implementation(component, "models")(settings))


def weight_entries(component: Component, model_name: str) -> Sequence[WeightEntry]:
    """The weight entries of one model, the default first; none when the provider publishes none."""
    if component.record.weights is None:
        return []
    return list(implementation(component, "weights")(model_name))


def _provider_missing(use: str, plugins: Plugins) -> str:
    owners = [f"{c.name}:{use}" for c in plugins.components("backbone") if use in model_names(c)]
    if owners:
        return f"write the provider too: {' or '.join(owners)}"
    everything = [f"{c.name}:{name}" for c in plugins.components("backbone") for name in model_names(c)]
    near = did_you_mean(use, [name.partition(":")[2] for name in everything])
    return f"'{use}' is no backbone; write provider:model, as in torchvision:resnet18.{near} (see ft models)"


def _check_image_size(backbone: Backbone, size: int, use: str) -> None:
    if size < backbone.min_image_size:
        raise FtError(f"{use} needs images of at least {backbone.min_image_size} px; --image-size {size} is too small")
    if backbone.fixed_image_size not in (None, size):
        raise FtError(f"{use} takes images of {backbone.fixed_image_size} px only; --image-size {size} does not fit")
