"""Low-rank adapters: beside a frozen layer, two small ones in a row that train (Hu et al. 2021, "LoRA: Low-Rank
Adaptation of Large Language Models", section 4).

A linear layer W gets W x + s B (A x), with A of `rank` rows and B, which is zero at first, of as many columns. A
convolution gets one of its own kernel, stride, padding and dilation with `rank` outputs, and after it one of 1 x 1 (as
peft has it, and LoCon). Both are sums of two kernels, so that afterwards the layer is a plain one again: W + s B A.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from ft.config.lora import LoraConfig
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Backbone
from ft.machine.randomness import seeded
from ft.model.adapted import adapter_names, can_be_merged, with_adapter
from ft.model.freezing import FrozenChoice, select_parameters
from ft.model.head import Model
from ft.prefix.state import state_kept
from ft.text.counting import number_of


def add_adapters(backbone: Backbone, lora: LoraConfig, plugins: Plugins, size: int, seed: int) -> tuple[str, ...]:
    """Put adapters beside layers of `backbone.module`, in place, and return the paths of these.

    They are linear layers and convolutions without groups outside the head, also of classes that somebody derived from
    torch's, of those that `lora.match` selects, that are called in a forward pass of images of `size` px: torch's
    attention reads the weight of its last layer, and never calls it.
    A layer or weight that occurs twice gets none. First values follow from `seed`. Raises FtError where no layer is
    left.
    """
    assert lora.rank is not None
    module = backbone.module
    chosen = [select_parameters(rule, "lora.match", backbone, plugins) for rule in lora.match]
    names = frozenset[str]().union(*chosen) if chosen else frozenset(backbone.parameter_names())
    paths = [path for path in _adaptable(module) if f"{path}.weight" in names]
    called = _called(module, paths, size)
    kinds = {type(layer): can_be_merged(layer) for layer in map(module.get_submodule, called)}  # type: ignore[arg-type]
    called = [path for path in called if kinds[type(module.get_submodule(path))]]
    if not called:
        raise FtError(
            f"--lora: of the layers of {backbone} that lora.match selects none is a linear layer or a convolution "
            "without groups, outside the head, that can have an adapter; leave out lora.match, or --lora"
        )
    with seeded(seed):
        for path in called:
            layer = module.get_submodule(path)
            assert isinstance(layer, nn.Linear | nn.Conv2d)
            module.set_submodule(path, with_adapter(layer, lora.rank, lora.scale))
    return tuple(called)


def beside_adapters(frozen: FrozenChoice, model: Model, config: Config) -> FrozenChoice:
    """What is frozen where there are adapters: never these, which train beside it; but where linear heads are fitted
    and nothing else is trained, they rest. Raises FtError where a layer that has one trains itself."""
    adapters = adapter_names(model.module)
    if not adapters:
        return frozen
    if moving := [path for path in model.adapted if f"{path}.weight" not in frozen.names]:
        raise FtError(
            f"--lora puts adapters beside layers that stay frozen, and {number_of(len(moving), 'layer')} with one "
            f"would train, '{moving[0]}' first; add --freeze all, or name other layers in lora.match"
        )
    names = frozen.names | adapters if config.training.fits_heads else frozen.names - adapters
    rules = {name: rule for name, rule in frozen.rules.items() if name not in adapters}
    return replace(frozen, names=names, rules=rules)


def _adaptable(module: nn.Module) -> list[str]:
    """Paths of the layers that may have an adapter, where neither they nor their weights occur twice."""
    layers = Counter(id(part) for _, part in module.named_modules(remove_duplicate=False))
    weights = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))
    return [
        path
        for path, part in module.named_modules()
        if (isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.groups == 1))
        and layers[id(part)] == 1
        and weights[id(part.weight)] == 1
    ]


def _called(module: nn.Module, paths: Sequence[str], size: int) -> list[str]:
    """Those of the layers at `paths` that a forward pass calls."""
    called = set[str]()
    hooks = [
        module.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: called.add(path)) for path in paths
    ]
    first = next(module.parameters())
    try:
        with state_kept(module), torch.no_grad():
            module.eval()
            module(torch.zeros(2, 3, size, size, device=first.device, dtype=first.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return [path for path in paths if path in called]
