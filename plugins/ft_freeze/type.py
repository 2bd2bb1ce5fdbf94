"""`type:norm`, `type:conv,linear`, `type:bias`: parameters by the kind of layer that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ft import Backbone, FtError, Settings, did_you_mean

if TYPE_CHECKING:
    from torch import nn

KINDS = ("norm", "conv", "linear", "bias")


def select(backbone: Backbone, argument: str | None, settings: Settings) -> frozenset[str]:
    """`linear` counts attention's projections; `bias` is every bias, of any layer.

    Raises FtError for a kind that does not exist, or that the backbone lacks.
    """
    if not argument:
        raise FtError("type needs a kind of layer, as in 'type:norm' or 'type:conv,linear'")
    selected: set[str] = set()
    for kind in argument.split(","):
        if kind not in KINDS:
            raise FtError(f"'{kind}' is no kind of layer.{did_you_mean(kind, KINDS)} There are: {', '.join(KINDS)}")
        found = {name for name in backbone.parameter_names() if is_kind(kind, name, backbone.module)}
        if not found:
            raise FtError(f"'type:{kind}' matches nothing in {backbone} outside the head, which always trains")
        selected |= found
    return frozenset(selected)


def is_kind(kind: str, name: str, module: nn.Module) -> bool:
    """Whether the parameter `name` of `module` belongs to a layer of that kind."""
    from torch import nn

    path, _, leaf = name.rpartition(".")
    if kind == "bias":
        return leaf == "bias" or leaf.endswith("_bias")
    layers: dict[str, tuple[type[nn.Module], ...]] = {
        "norm": (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm),
        "conv": (nn.modules.conv._ConvNd,),
        "linear": (nn.Linear, nn.MultiheadAttention),
    }
    return isinstance(module.get_submodule(path), layers[kind])
