"""ft's Grad-CAM beside captum's LayerGradCam, on three networks of torchvision with random weights.

    pip install captum
    python benchmarks/grad_cam.py

The layer is the one that ft finds. Both maps are divided by their maximum; printed is how far they are apart at most.
"""

from __future__ import annotations

import sys

import torch
from captum.attr import LayerGradCam

from ft.extension.installed import load_plugins, read_settings
from ft.inference.saliency import as_shares, saliency
from ft.inference.salient_layer import find_layer
from ft.model.backbone import construct
from ft.model.catalogue import find_model

NETWORKS = ("torchvision:resnet18", "torchvision:vgg11", "torchvision:mobilenet_v3_small")
SIDE, IMAGES, CLASSES = 224, 4, (3, 141, 592, 653)


def main(networks: tuple[str, ...]) -> None:
    plugins = load_plugins()
    picked = torch.tensor(CLASSES)

    def pick(outputs: torch.Tensor) -> torch.Tensor:
        return picked

    images = torch.randn(IMAGES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    for use in networks:
        provider, name = find_model(use, plugins)
        backbone = construct(provider, name, read_settings(provider, {}, "backbone"), seed=0, values=True)
        module = backbone.module.eval()
        layer = find_layer(module, backbone.stages, images[:2])
        ours = as_shares(saliency(module, layer, images, pick).maps, SIDE)
        captum = LayerGradCam(module, module.get_submodule(layer.path))
        theirs = captum.attribute(images.clone(), target=picked, relu_attributions=True).detach()[:, 0]
        apart = (ours - as_shares(theirs, SIDE)).abs().amax()
        empty = int((theirs.amax((1, 2)) == 0).sum())
        print(f"{use} at {layer.path}: {apart:.1e} apart; {empty} of {IMAGES} maps are empty", flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or NETWORKS)
