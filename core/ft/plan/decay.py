"""Which parameters weight decay leaves alone."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from torch import nn

_SPARED = ("bias", "pos", "position", "token", "scale", "gamma", "embed")
"""Words in the names of parameters that are added to features, or scale them."""
_WEIGHTS = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd)


def without_decay(module: nn.Module) -> frozenset[str]:
    """Names of the parameters that published recipes do not decay.

    These are biases and normalisation (He et al. 2019, section 3.1), the scales of LayerScale, ConvNeXt and Swin V2,
    class tokens, position embeddings and tables of relative positions (Touvron et al. 2021; Liu et al. 2021, appendix
    A2), and what the network itself names: timm's networks have a method `no_weight_decay()` for that. What is decayed
    are the matrices and kernels that features are multiplied with.
    """
    named = (name for name, parameter in module.named_parameters() if not _multiplies(module, name, parameter))
    return frozenset([*named, *_said_by_the_network(module)])


def _multiplies(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    path, _, own = name.rpartition(".")
    owner = module.get_submodule(path)
    if parameter.ndim < 2 or isinstance(owner, nn.Embedding):
        return False
    if own == "weight" and isinstance(owner, _WEIGHTS):
        return True  # also those with one input or one output
    wide = sum(size > 1 for size in parameter.shape)
    return wide > 1 and not any(word in own.lower() for word in _SPARED)


def _said_by_the_network(module: nn.Module) -> Iterator[str]:
    """Names that match what `no_weight_decay()` of the network, or of a part of it, returns: names or, since timm 1.0,
    shell patterns such as `pos_embed.*`."""
    for path, part in module.named_modules():
        said = getattr(part, "no_weight_decay", None)
        for pattern in said() if callable(said) else ():
            names = fnmatch.filter((name for name, _ in part.named_parameters()), pattern)
            yield from (f"{path}.{name}".lstrip(".") for name in names)
