"""Builds the backbone that the config names: a provider's architecture with a weight source's tensors in it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from ft.config.schema import Config
from ft.data.origin import Origin
from ft.data.transforms import effective_preprocessing
from ft.errors import FtError
from ft.extension.calls import through_the_door
from ft.extension.installed import Component, Plugins, implementation, read_settings
from ft.extension.records import Backbone, Preprocessing
from ft.machine.display import Display
from ft.machine.randomness import random_state_kept, seeded
from ft.machine.sizes import within_memory
from ft.model.catalogue import find_model, weight_entries
from ft.model.head import KEEP
from ft.model.state_dict import load_into, read_tensors
from ft.text.counting import with_article
from ft.text.redaction import shown
from ft.weights.choice import FetchedWeights, WeightChoice, choose_weights, fetch_weights


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
    origin: Origin | None = None

    @property
    def weights(self) -> str:
        """What its weights are, and where they come from, in a line."""
        if self.origin is not None:
            return str(self.origin)
        return (self.fetched or self.choice).describe() if self.choice else "none (random)"


def build_backbone(
    config: Config,
    plugins: Plugins,
    display: Display,
    tensors: Literal["pretrained", "random", "empty"],
    origin: Origin | None = None,
) -> BuiltBackbone:
    """Build `config.backbone` and, when `tensors` is "pretrained", load `config.weights` into it, or those of the run
    that it starts from: its `origin`, as which it sees images, too.

    "random" leaves the weights as they were drawn from the seed; "empty" gives tensors that have shapes and no values
    (torch's meta device), all a plan needs, or is as "random" where the network cannot do without values. Neither looks
    for a weight file. Raises FtError for a name, an entry or a size that does not fit, and for weights that cannot be
    had.
    """
    component, model_name = find_model(config.backbone.use, plugins)
    settings = read_settings(component, config.backbone.settings, "backbone")
    entries = weight_entries(component, model_name)
    choice = None if origin else choose_weights(config.weights, entries, config.backbone.use, plugins)
    backbone = construct(component, model_name, settings, config.seed, values=tensors != "empty")
    published = choice.entry.preprocessing if choice and choice.published else backbone.preprocessing
    published = origin.preprocessing if origin else published
    preprocessing = effective_preprocessing(published, config.images)
    asked, hint = f"--image-size {config.images.size}", ""
    if config.images.size is None and choice is not None:
        asked = f"the size {preprocessing.crop_size} px of the weights {choice.entry.name}"
        hint = f"; {choice.entry.note}" if choice.entry.note else ""
    check_image_size(backbone, config.backbone.use, preprocessing.crop_size, asked, hint)
    reference = shown(config.backbone.use)
    built = BuiltBackbone(
        replace(backbone, name=model_name), reference, component, choice, preprocessing, origin=origin
    )
    if tensors == "pretrained" and origin is not None:
        own = read_tensors(origin.weights)
        carried = {name: each for name, each in own.tensors.items() if not _is_left_behind(name, backbone, config)}
        load_into(built.backbone, replace(own, tensors=carried), str(origin.weights))
    if tensors != "pretrained" or choice is None:
        return built
    with display.download() as progress:
        fetched = fetch_weights(choice, plugins, progress)
    report = load_into(built.backbone, read_tensors(fetched.path, config.weights.key), str(fetched.path))
    return replace(built, fetched=fetched, notes=(*fetched.notes, *report.notes))


def _is_left_behind(name: str, backbone: Backbone, config: Config) -> bool:
    """Whether a tensor is of a head that is not the classifier with which a backbone is built."""
    return config.head.use != KEEP and backbone.in_head(name)


def construct(component: Component, model_name: str, settings: Any, seed: int, values: bool) -> Backbone:
    """Build a backbone with random weights that follow from `seed`, on the CPU.

    Without `values` it is built on torch's meta device, which costs no memory, and on the CPU all the same where its
    code asks a tensor for its values, when it is built or runs, or brings tensors along from elsewhere. Raises FtError
    when `build` returns something else than a Backbone, and whatever `build` raises.
    """
    empty = None if values else _build_empty(component, model_name, settings, seed)
    return empty or _build(component, model_name, settings, seed, "cpu")


def _build_empty(component: Component, model_name: str, settings: Any, seed: int) -> Backbone | None:
    """The backbone on the meta device; None where its code needs values."""
    try:
        backbone = _build(component, model_name, settings, seed, "meta")
        return backbone if _does_without_values(backbone) else None
    except FtError:
        raise
    except Exception:  # torch has no class for "there is no value"; anything else is raised again on the CPU
        return None


def _build(component: Component, model_name: str, settings: Any, seed: int, device: str) -> Backbone:
    with seeded(seed), torch.device(device), within_memory(f"{model_name} of backbone provider '{component.name}'"):
        backbone = implementation(component, "build")(model_name, settings)
    if not isinstance(backbone, Backbone):
        built = with_article(type(backbone).__name__)
        raise FtError(f"{component.label} built {built} for {model_name}; build has to return an ft.Backbone")
    what = f"rename_weights of {model_name} of backbone provider '{component.name}'"
    rename = through_the_door(backbone.rename_weights, what, f"{component.distribution} {component.version}")
    return replace(backbone, rename_weights=rename)


def _does_without_values(backbone: Backbone) -> bool:
    """Whether all tensors of a backbone are on the meta device, and it runs there."""
    module = backbone.module
    if not all(tensor.is_meta for tensor in itertools.chain(module.parameters(), module.buffers())):
        return False
    side = backbone.fixed_image_size or max(backbone.min_image_size, backbone.preprocessing.crop_size)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    with random_state_kept(), torch.no_grad():
        module(torch.empty(2, 3, side, side, device="meta"))
    for part, training in modes.items():
        part.training = training
    return True


def check_image_size(backbone: Backbone, use: str, size: int, asked: str, hint: str = "") -> None:
    """Raise FtError where the backbone that is named so takes no images of `size` px, which somebody `asked` for."""
    if size < backbone.min_image_size:
        raise FtError(f"{use} needs images of at least {backbone.min_image_size} px; {asked} is too small")
    if backbone.fixed_image_size not in (None, size):
        raise FtError(f"{use} takes images of {backbone.fixed_image_size} px only; {asked} does not fit{hint}")
