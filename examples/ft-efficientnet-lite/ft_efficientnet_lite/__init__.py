"""EfficientNet-Lite for ft: `ft run --backbone efficientnet-lite:lite0`."""

from collections.abc import Iterable

from ft import BackboneProvider, hookimpl


@hookimpl
def ft_backbone_providers() -> Iterable[BackboneProvider]:
    yield BackboneProvider(
        name="efficientnet-lite",
        summary="EfficientNet-Lite 0 to 2 for phones; the weights are packages",
        models="ft_efficientnet_lite.published:models",
        weights="ft_efficientnet_lite.published:weights",
        build="ft_efficientnet_lite.build:build",
        facts="ft_efficientnet_lite.published:facts",
    )
