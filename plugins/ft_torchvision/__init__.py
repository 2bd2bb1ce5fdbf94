"""Every image classifier that torchvision publishes weights for: `torchvision:resnet18` and 79 others."""

from __future__ import annotations

from collections.abc import Iterable

from ft import BackboneProvider, hookimpl


@hookimpl
def ft_backbone_providers() -> Iterable[BackboneProvider]:
    yield BackboneProvider(
        name="torchvision",
        summary="torchvision's image classifiers, with their ImageNet weights",
        models="ft_torchvision.catalogue:models",
        weights="ft_torchvision.catalogue:weights",
        build="ft_torchvision.build:build",
        settings="ft_torchvision.build:TorchvisionSettings",
        facts="ft_torchvision.facts:facts",
    )
