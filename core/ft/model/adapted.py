"""Layers with low-rank adapters, and the plain ones that come of them."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

DOWN, UP = "lora_a", "lora_b"
"""What the two layers of an adapter are called, inside the layer that they stand beside."""


class Adapted(nn.Module):
    """A layer with an adapter: it is of the layer's own class, too, and has its parameters under their own names."""

    weight: nn.Parameter
    lora_a: nn.Module
    lora_b: nn.Module
    scale: float

    def forward(self, input: Tensor) -> Tensor:
        """What the layer gives, and what the adapter adds to it."""
        added: Tensor = self.lora_b(self.lora_a(input))
        plain: Tensor = super().forward(input)
        return plain + added * self.scale


def with_adapter(layer: nn.Linear | nn.Conv2d, rank: int, scale: float) -> Adapted:
    """A layer that shares the parameters of `layer`, with an adapter that adds nothing at first.

    The adapter's first half is a layer like it with `rank` outputs and without bias, so whatever else its class does,
    as padding the image on some sides, it does too. The other half maps these to as many outputs as the layer has.
    """
    down = _like(layer, type(layer))
    given: dict[str, Any] = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    down.weight = nn.Parameter(torch.empty(rank, *layer.weight.shape[1:], **given))
    down.register_parameter("bias", None)
    nn.init.kaiming_uniform_(down.weight, a=5**0.5)  # as torch begins both layers
    up: nn.Linear | nn.Conv2d
    if isinstance(down, nn.Linear):
        down.out_features, up = rank, nn.Linear(rank, layer.weight.shape[0], bias=False, **given)
    else:
        down.out_channels, up = rank, nn.Conv2d(rank, layer.weight.shape[0], kernel_size=1, bias=False, **given)
    nn.init.zeros_(up.weight)
    kind: Any = type(layer)
    made = cast(Adapted, _like(layer, _class_with_adapter(kind)))
    made.lora_a, made.lora_b, made.scale = down, up, scale
    return made


def adapter_names(module: nn.Module) -> frozenset[str]:
    """Names of the parameters of all adapters."""
    paths = [path for path, part in module.named_modules() if isinstance(part, Adapted)]
    return frozenset(f"{path}.{name}.weight" for path in paths for name in (DOWN, UP))


def merged_state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of the plain network: adapters added to the weights that they stand beside. `module` stays as it
    is."""
    state: dict[str, Tensor] = module.state_dict()
    for path, part in module.named_modules():
        if isinstance(part, Adapted):
            state[f"{path}.weight"] = merged_weight(part)
    spared = adapter_names(module)
    return {name: tensor for name, tensor in state.items() if name not in spared}


@torch.no_grad()
def merged_weight(part: Adapted) -> Tensor:
    """W + s B A, summed up in float64 and rounded once."""
    down, up = (each.get_parameter("weight").double() for each in (part.lora_a, part.lora_b))
    added = (up.flatten(1) @ down.flatten(1)).view_as(part.weight)
    return (part.weight.double() + part.scale * added).to(part.weight.dtype)


def can_be_merged(layer: nn.Linear | nn.Conv2d) -> bool:
    """Whether a layer with an adapter answers as the plain one does with the merged weight.

    That is known of torch's own. A class of anybody else's is tried on noise, with values of its own where the layer
    has none yet: one that standardises its weight first is no sum of two kernels.
    """
    if type(layer) in (nn.Linear, nn.Conv2d):
        return True
    generator = torch.Generator().manual_seed(0)
    try:
        plain = copy.deepcopy(layer)
        if plain.weight.is_meta:
            plain = plain.to_empty(device="cpu")
        plain = plain.float().cpu().eval()
        for parameter in plain.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        trial = with_adapter(plain, 2, 0.5).eval()
        up = trial.lora_b.get_parameter("weight")
        up.data = torch.randn(up.shape, generator=generator)
        sides = () if isinstance(plain, nn.Linear) else (16, 16)
        noise = torch.randn(2, plain.weight.shape[1], *sides, generator=generator)
        with torch.no_grad():
            expected = trial(noise)
            plain.weight.data = merged_weight(trial)
            return torch.allclose(plain(noise), expected, rtol=1e-3, atol=1e-3)
    except Exception:  # what somebody's layer raises says that it is none that this can be done to
        return False


@cache
def _class_with_adapter(kind: Any) -> Any:
    return type(f"Adapted{kind.__name__}", (Adapted, kind), {})


def _like(layer: nn.Linear | nn.Conv2d, kind: type[nn.Module]) -> Any:
    """Another layer of a class of the same attributes, with the same parameters, buffers and modules inside."""
    made = kind.__new__(kind)
    own = {name: {**getattr(layer, name)} for name in ("_parameters", "_buffers", "_modules")}
    made.__setstate__({**vars(layer), **own})  # type: ignore[no-untyped-call]
    return made
