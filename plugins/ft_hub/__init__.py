"""Networks of a folder with a hubconf.py, as torch.hub has them: `hub:./checkout/hubconf.py:resnet18`."""

from __future__ import annotations

from collections.abc import Iterable

from ft import BackboneProvider, hookimpl


@hookimpl
def ft_backbone_providers() -> Iterable[BackboneProvider]:
    yield BackboneProvider(
        name="hub",
        summary="an entry point of a hubconf.py on this machine, which is run: hub:FOLDER/hubconf.py:ENTRY",
        models="ft_hub.build:models",
        build="ft_hub.build:build",
        settings="ft_hub.build:HubSettings",
        lists_all=False,
    )
