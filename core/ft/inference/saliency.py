"""Where in an image lies what an output of a network comes from: Grad-CAM and LayerCAM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ft.inference.salient_layer import Layer
from ft.inference.watching import evaluating, watched

Pick = Callable[[Tensor], Tensor]
"""From outputs [N, K] to the number of the output that is explained of each image [N]."""


@dataclass(frozen=True, eq=False)
class Saliency:
    """What a network answered, which outputs are explained, and by which maps."""

    outputs: Tensor
    """[N, K] in float32."""
    picked: Tensor
    """[N]"""
    maps: Tensor
    """[N, H, W] in float32, 0 or more, as large as the layer's own."""


def saliency(module: nn.Module, layer: Layer, images: Tensor, pick: Pick) -> Saliency:
    """Explain one output of each of `images` [N, 3, S, S], as the network takes them, by the output of a layer.

    The network computes in eval mode, and has its modes, gradients and buffers as before afterwards.
    """
    # Nothing before the layer needs a graph. It has one where torch otherwise computes layers in one piece, which then
    # call no hook: nn.TransformerEncoderLayer.
    given: list[Tensor] = []
    with evaluating(module):
        for lean in (True, False):
            with torch.set_grad_enabled(not lean):
                outputs = _from_leaf(module, layer.path, images, given)
            if given:
                break
        if not given:
            raise RuntimeError(f"{layer.path} gave nothing")
        picked = pick(outputs.detach())
        chosen = outputs.gather(1, picked[:, None]).sum()  # images do not depend on each other
        (gradient,) = torch.autograd.grad(chosen, given[-1])
    combine = grad_cam if layer.method == "Grad-CAM" else layer_cam
    maps = combine(layer.as_map(given[-1].detach()).float(), layer.as_map(gradient).float())
    return Saliency(outputs.detach(), picked, maps)


def grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Channels [N, C, H, W] summed up by the mean gradient of each, as far as that is above 0: [N, H, W] (Selvaraju et
    al. 2017, section 3)."""
    return (gradient.mean((2, 3), keepdim=True) * activation).sum(1).relu()


def layer_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Channels [N, C, H, W] summed up by their own gradients at each place, as far as those, and the sum, are above 0:
    [N, H, W] (Jiang et al. 2021, section III)."""
    return (gradient.relu() * activation).sum(1).relu()


def as_shares(maps: Tensor, side: int) -> Tensor:
    """Maps [N, h, w] as large as images, [N, S, S], each divided by its maximum; one that is 0 everywhere stays so."""
    large = F.interpolate(maps[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
    most = large.amax((1, 2), keepdim=True)
    return torch.where(most > 0, large / most.clamp(min=torch.finfo(large.dtype).tiny), 0.0)


def _from_leaf(module: nn.Module, path: str, images: Tensor, given: list[Tensor]) -> Tensor:
    """The outputs of a network in float32, computed from what a layer gave, which the list gets: a leaf, from which on
    there is a graph."""

    def cut(_: nn.Module, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        leaf = output.detach().requires_grad_()
        given.append(leaf)
        return leaf.clone()  # since what follows may work in place

    with watched([module.get_submodule(path)], cut):
        outputs: Tensor = module(images.clone())  # which inside torch.inference_mode() is a tensor as any other
    return outputs.float()
