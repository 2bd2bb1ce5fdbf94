"""The backbone provider before-backbone for ft: `ft run --backbone before-backbone:small`."""

from collections.abc import Iterator

from ft import BackboneProvider, hookimpl

FT_API = 1  # the version of ft's plugin API that this is made for


@hookimpl
def ft_backbone_providers() -> Iterator[BackboneProvider]:
    yield BackboneProvider(
        "before-backbone",
        "Plain convolutional networks, small and large",
        models="ft_before_backbone.before_backbone:models",
        build="ft_before_backbone.before_backbone:build",
        settings="ft_before_backbone.before_backbone:Settings",
        # weights="ft_before_backbone.before_backbone:weights" once there are pretrained ones: see ft.WeightEntry
    )
