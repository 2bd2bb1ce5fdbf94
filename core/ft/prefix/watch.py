"""What operations do: watched as they reach torch's dispatcher, for whichever node of a graph is running."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry, sdpa_flop_count


@dataclass
class Seen:
    """What is noted of a node while it runs."""

    value: Any = None
    makes: frozenset[int] = frozenset()
    touched: set[int] = field(default_factory=set)
    writes: set[int] = field(default_factory=set)
    flops: int = 0
    draws: str | None = None
    statistics: bool = False
    decides: bool = False
    remembers: str | None = None


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes, for the node that runs, what each of its operations does."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.node = Seen()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.namespace != "aten":
            return result
        given = _arguments(func, args, kwargs)
        self.node.touched |= storages_of(list(given.values()))
        for argument in func._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.node.writes |= storages_of(given.get(argument.name))
        if torch.Tag.nondeterministic_seeded in func.tags and given.get("dropout_p", given.get("p", 1)) != 0:
            self.node.draws = str(func.overloadpacket)
        if _tells_values(func, given):
            self.node.decides = True
        # Instance norm runs as batch norm over a batch of one; its statistics are those of each image.
        if "batch_norm" in func.__name__ and given.get("training") and args[0].shape[0] != 1:
            self.node.statistics = True
        self.node.flops += _flops(func, args, kwargs, result)
        return result


class Peeks(TorchFunctionMode):
    """Notes where Python takes the values of a tensor and no operation shows it."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in ("tolist", "numpy", "__array__", "__dlpack__", "data_ptr"):
            self.watch.node.decides = True
        return func(*args, **(kwargs or {}))


def storage_of(tensor: torch.Tensor) -> int:
    """A number that tensors over the same memory share."""
    return int(tensor.untyped_storage()._cdata)


def storages_of(value: Any) -> set[int]:
    """Those of all tensors in nested tuples, lists and dictionaries."""
    return {storage_of(leaf) for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor)}


def _arguments(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    arguments = func._schema.arguments
    defaults = {argument.name: argument.default_value for argument in arguments if argument.has_default_value()}
    return {**defaults, **dict(zip((argument.name for argument in arguments), args, strict=False)), **kwargs}


def _tells_values(func: Any, given: Mapping[str, Any]) -> bool:
    """Whether Python learns from an operation, or from the shape of its result, what is in a tensor."""
    if func.overloadpacket is torch.ops.aten.index:
        return any(each is not None and each.dtype in (torch.bool, torch.uint8) for each in given["indices"])
    return bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags))


def _flops(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
    """FLOPs by torch's own formulas (2 a multiply-add); any other operation that fills memory, 1 an element."""
    if func.overloadpacket in flop_registry:
        return int(flop_registry[func.overloadpacket](*args, **kwargs, out_val=result))
    if func.overloadpacket is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
        return int(sdpa_flop_count(*(tensor.shape for tensor in args[:3])))  # type: ignore[no-untyped-call]
    if func.is_view or not isinstance(result, torch.Tensor):
        return 0
    return result.numel()
