"""Which layer's output shows where a network looked: the last one that still has places, and how it lays them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal

import torch
from torch import Tensor, nn

from ft.errors import FtError
from ft.extension.records import Stage
from ft.inference.watching import evaluating, watched

IMAGES = 2
"""How many images the search takes: with one, windows of an image could be taken for images."""
_MOST_OTHER = 32  # tokens that stand for no place: the class, registers
_CHANGE_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class Layer:
    """A layer, and how its output has `side` x `side` places: as a "map" [N, C, H, W], as "rows" of places
    [N, H, W, C], or as "tokens" [N, T, C], of which the last H x W are places."""

    path: str
    form: Literal["map", "rows", "tokens"]
    side: int

    @property
    def method(self) -> Literal["Grad-CAM", "LayerCAM"]:
        """How outputs are explained by it."""
        return "Grad-CAM" if self.form == "map" else "LayerCAM"

    def as_map(self, output: Tensor) -> Tensor:
        """Its output, or a gradient of that, as [N, C, H, W]; tokens of no place, before the others, are left out."""
        if self.form == "map":
            return output
        if self.form == "rows":
            return output.permute(0, 3, 1, 2)
        places = output[:, -(self.side**2) :].transpose(1, 2)
        return places.reshape(*places.shape[:2], self.side, self.side)


def find_layer(module: nn.Module, stages: Sequence[Stage], images: Tensor) -> Layer:
    """Find the layer that the outputs of `module` [N, K] are explained by: the last that has more than one place, of
    which outputs depend on others than the first.

    It is the output of a stage, the last one that has places: of a CNN its last map, and where a layer without
    parameters follows that keeps its form, as an activation, what that makes of it. Where places of a stage's output
    lead nowhere, as in a ViT that answers by its class token, it is the last layer in it whose output is like that: the
    normalisation before the last attention. `images` [2, 3, S, S] may be any, as the network takes them. Raises FtError
    where no layer has places.
    """
    paths = {layer: path for path, layer in module.named_modules()}
    with evaluating(module):
        outputs, given = _outputs_of_layers(module, images)
        given = {layer: output for layer, output in given.items() if output.requires_grad}
        weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0)).to(outputs.device)
        gradients = torch.autograd.grad((outputs.float() * weights).sum(), [*given.values()], allow_unused=True)
    sides = {output.shape[2] for output in given.values() if _is_map(output)}
    idle = None
    for layer, gradient in _by_preference(given, gradients, paths, stages):
        found = _layer(paths[layer], given[layer].shape, sides)
        if found is None:
            continue
        after = _activated(layer, given) if found.form == "map" else layer
        found = replace(found, path=paths[after])
        if found.as_map(gradient).any():
            return found
        idle = idle or found
    if idle is not None:
        return idle  # outputs depend on nothing, as those of a head that is all zeros
    raise FtError(
        f"there is no map of where this network looks in images of {images.shape[-1]} px: no layer of its stages that "
        "leads to its outputs gives more than one place, as [N, C, H, W], [N, H, W, C] or a square of tokens "
        "[N, T, C] do. A run with a larger --image-size may have places"
    )


def _by_preference(
    given: Mapping[nn.Module, Tensor],
    gradients: Sequence[Tensor | None],
    paths: Mapping[nn.Module, str],
    stages: Sequence[Stage],
) -> Iterator[tuple[nn.Module, Tensor]]:
    """Layers in stages that outputs depend on, the best one first, with the gradients of what they gave.

    From the last stage on: its output, then the layers inside that give what has the same form. Then all others.
    """
    ends = {layer: number for layer, path in paths.items() for number, s in enumerate(stages) if path in s.paths}
    form = {ends[layer]: output.shape for layer, output in given.items() if layer in ends}

    def rank(number: int, layer: nn.Module) -> tuple[bool, int, bool, int]:
        stage = _stage(paths[layer], stages)
        alike = layer in ends or form.get(stage) == given[layer].shape
        return alike, stage, layer in ends, number

    ranked = sorted((rank(number, layer), number, layer) for number, layer in enumerate(given))
    for (_, stage, _, _), number, layer in reversed(ranked):
        gradient = gradients[number]
        if stage >= 0 and gradient is not None:
            yield layer, gradient


def _outputs_of_layers(module: nn.Module, images: Tensor) -> tuple[Tensor, Mapping[nn.Module, Tensor]]:
    """What a network makes of images, and what each of its layers gave last, in the order in which they did."""
    given: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, output: Tensor) -> None:
        given.pop(layer, None)
        given[layer] = output

    start = images.detach().clone().requires_grad_()
    with watched([layer for layer in module.modules() if layer is not module], keep):
        return module(start.clone()), given  # a clone, as a first layer may work in place


def _layer(path: str, shape: torch.Size, sides: Iterable[int]) -> Layer | None:
    """How an output has places, where it has more than one; tokens fill a map of one of the `sides` that the network
    has, or a square."""
    if len(shape) < 3 or shape[0] != IMAGES:
        return None
    if len(shape) == 4:
        if shape[2] == shape[3]:
            return Layer(path, "map", shape[2]) if shape[2] > 1 else None
        return Layer(path, "rows", shape[1]) if shape[1] == shape[2] > 1 else None
    if len(shape) == 3:
        for side in (*sorted(sides, reverse=True), isqrt(shape[1])):
            if side > 1 and 0 <= shape[1] - side**2 <= _MOST_OTHER:
                return Layer(path, "tokens", side)
    return None


def _is_map(output: Tensor) -> bool:
    return output.ndim == 4 and output.shape[2] == output.shape[3] > 1


def _activated(layer: nn.Module, given: Mapping[nn.Module, Tensor]) -> nn.Module:
    """The last of the layers without parameters that follow at once and keep the form of a map."""
    order = [*given]
    for each in order[order.index(layer) + 1 :]:
        if given[each].shape != given[layer].shape or next(each.parameters(), None) is not None:
            break
        layer = layer if isinstance(each, _CHANGE_NOTHING) else each
    return layer


def _stage(path: str, stages: Sequence[Stage]) -> int:
    """The number of the stage that a layer is in, or -1."""
    inside = (n for n, stage in enumerate(stages) if any(path == p or path.startswith(f"{p}.") for p in stage.paths))
    return max(inside, default=-1)
