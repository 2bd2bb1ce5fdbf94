"""The backbones of timm (PyTorch Image Models): `timm:convnext_tiny`, with `pip install 'ftkit[timm]'`."""

from __future__ import annotations

from collections.abc import Iterable

from ft import BackboneProvider, hookimpl


@hookimpl
def ft_backbone_providers() -> Iterable[BackboneProvider]:
    yield BackboneProvider(
        name="timm",
        summary="timm's image classifiers, with their weights from the Hugging Face Hub (needs ftkit[timm])",
        models="ft_timm.catalogue:models",
        weights="ft_timm.catalogue:weights",
        build="ft_timm.build:build",
        settings="ft_timm.build:TimmSettings",
        facts="ft_timm.catalogue:facts",
    )
