"""The network as a graph, traced in the modes it will train in.

torch.fx records a forward pass symbolically (Reed et al., "torch.fx: Practical Program Capture and Transformation for
Deep Learning in Python", MLSys 2022). Flags such as `self.training` become constants of the graph, so the module is
traced exactly as it stands: root in train mode, frozen modules in eval mode.

A submodule stays one node, run as it is, when it carries hooks or parametrizations, when symbolic tracing fails inside
it, or when its Python code draws random numbers that a trace would bake in. Where the root itself cannot be traced,
torch.export is asked; where that fails too, `NotTraceable` says why, and module boundaries are left (`boundaries`).
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._pytree import tree_unflatten

from ft.machine.randomness import random_state_kept
from ft.machine.turns import changing_how_networks_run
from ft.prefix.state import (
    attributes_kept,
    buffers_kept,
    changed_since,
    every_random_state,
    memories_of,
    python_random_state,
)

Autocast = Callable[[], AbstractContextManager[Any]]


class NotTraceable(Exception):
    """The module's forward pass cannot be written as a graph that is known to compute the same."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A module's forward pass. `module` shares every parameter, buffer and leaf module with `original`.

    `opaque` maps the paths of submodules that stayed one node, although they are no layers of torch, to the reason.
    `boundaries` are the paths of the layers between whose returns its nodes lie, None where it could be traced;
    `autocast` is the context in which that was done.
    """

    original: nn.Module
    module: fx.GraphModule
    tracer: str
    opaque: dict[str, str] = field(default_factory=dict)
    boundaries: tuple[str, ...] | None = None
    autocast: Autocast = nullcontext

    @property
    def nodes(self) -> list[fx.Node]:
        """All nodes in the sequence they run in."""
        return list(self.module.graph.nodes)

    @property
    def images(self) -> fx.Node:
        """The placeholder that takes the batch of images."""
        return next(node for node in self.nodes if node.op == "placeholder")


def to_graph(module: nn.Module, example: torch.Tensor, autocast: Autocast = nullcontext) -> Graph:
    """Trace `module`, which takes a batch like `example` [N, 3, S, S] and will run under `autocast`.

    Raises NotTraceable.
    """
    refuse_hooks(module)
    opaque: dict[str, str] = {}
    while True:
        try:
            return Graph(module, _symbolic(module, opaque, autocast), "torch.fx", opaque, autocast=autocast)
        except _Untraceable as error:
            if not error.path or error.path in opaque:
                return _exported(module, example, str(error), autocast)
            opaque[error.path] = str(error)


def random_images(module: nn.Module, shape: tuple[int, ...], memory_format: torch.memory_format) -> torch.Tensor:
    """Images [N, 3, S, S] between 0 and 1 where, and of the type that, `module` takes; always the same."""
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    like = next((each for each in module.parameters() if each.is_floating_point()), images)
    return images.to(like.device, like.dtype).contiguous(memory_format=memory_format)


def refuse_hooks(module: nn.Module) -> None:
    """Raise NotTraceable where someone hangs on the whole network, so that no part can run by itself."""
    if _has_any_global_hook():  # type: ignore[no-untyped-call]
        raise NotTraceable("a hook is registered for all modules")
    if has_hooks(module):
        raise NotTraceable("the model itself has a hook")


def first_line(error: Exception) -> str:
    """What an exception says, without the pages that torch adds."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def has_hooks(module: nn.Module) -> bool:
    """Whether someone hangs on this very module's forward or backward pass."""
    return any(
        (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    )


class _Untraceable(Exception):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True  # else forward would work on the real buffers while it is traced

    def __init__(self, opaque: dict[str, str]) -> None:
        super().__init__(autowrap_modules=(math,))
        self.opaque = opaque
        self.arithmetic = arithmetic()
        self.thread = threading.get_ident()

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        self.check_arithmetic()
        return super().create_node(*args, **kwargs)

    def check_arithmetic(self) -> None:
        """Raise where the code that is traced has switched autocast, which a graph does not record."""
        if arithmetic() != self.arithmetic:
            raise RuntimeError("switches autocast")

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if module_qualified_name in self.opaque or has_hooks(m) or is_parametrized(m):
            return True
        return super().is_leaf_module(m, module_qualified_name)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self.thread:  # torch.fx wraps the calls of all modules, whichever thread makes them
            return forward(*args, **kwargs)
        self.check_arithmetic()  # here it is the caller's doing
        with _innermost(self.path_of_module(m)):
            return super().call_module(m, forward, args, kwargs)


def arithmetic() -> dict[str, torch.dtype]:
    """The devices for which autocast is on, and its types."""
    return {kind: torch.get_autocast_dtype(kind) for kind in ("cpu", "cuda", "mps") if torch.is_autocast_enabled(kind)}


@contextmanager
def _innermost(path: str) -> Iterator[None]:
    """Blame the innermost module whose Python code cannot be traced, or draws random numbers while it is."""
    before = every_random_state()
    try:
        yield
    except _Untraceable:
        raise
    except Exception as error:
        raise _Untraceable(path, first_line(error)) from error
    if every_random_state() != before:
        raise _Untraceable(path, "draws random numbers in Python")


def _symbolic(module: nn.Module, opaque: dict[str, str], autocast: Autocast) -> fx.GraphModule:
    # The tracer leaves tensors that forward makes from constants on the module; the graph has its own.
    with attributes_kept(module), random_state_kept(), _innermost(""), autocast():
        before = memories_of(module)
        graph = _Tracer(opaque).trace(module)
        if (changed := changed_since(before, module)) is not None:
            raise _Untraceable(changed[0], f"changes its own {changed[1]}")
        traced = fx.GraphModule(module, graph)
    required = [node for node in graph.nodes if node.op == "placeholder"]
    if len(required) != 1:
        raise _Untraceable("", f"forward takes {len(required)} arguments")
    return traced


def _exported(module: nn.Module, example: torch.Tensor, symbolic_reason: str, autocast: Autocast) -> Graph:
    if any(has_hooks(inner) or is_parametrized(inner) for inner in module.modules()):
        raise NotTraceable(f"torch.fx cannot trace it ({symbolic_reason}), and torch.export would trace through hooks")
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    try:
        # What it cannot follow it prints, page by page; the exception says it.
        with (
            attributes_kept(module),
            random_state_kept(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            changing_how_networks_run(),
            autocast(),
        ):
            before = python_random_state()
            traced = torch.export.export(module, (example,), dynamic_shapes=dynamic).module(check_guards=False)
            if python_random_state() != before:
                raise NotTraceable("its forward pass draws random numbers in Python")
            _refuse_state(module, example)
    except NotTraceable:
        raise
    except Exception as error:
        raise NotTraceable(
            f"torch.fx cannot trace it ({symbolic_reason}), nor can torch.export ({first_line(error)})"
        ) from error
    assert isinstance(traced, fx.GraphModule)
    _unpack(traced)
    return Graph(module, _sharing(module, traced), "torch.export", autocast=autocast)


def _refuse_state(module: nn.Module, example: torch.Tensor) -> None:
    """Raise NotTraceable where a forward pass changes attributes: an export has none."""
    with attributes_kept(module), buffers_kept(module), torch.no_grad():
        before = memories_of(module)
        module(torch.zeros_like(example))
        if (changed := changed_since(before, module)) is not None:
            raise NotTraceable(f"its forward pass changes its own {changed[1]}")


def _sharing(module: nn.Module, traced: fx.GraphModule) -> fx.GraphModule:
    """Put the original's own parameters and buffers under the names that the exported graph reads."""
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    for node in traced.graph.nodes:
        if node.op == "get_attr" and node.target in own:
            parent, _, name = str(node.target).rpartition(".")
            setattr(traced.get_submodule(parent), name, own[node.target])
    return traced


def _unpack(traced: fx.GraphModule) -> None:
    """Let an exported graph take one tensor and return what forward does, with no flattening around it."""
    codegen: Any = traced.graph._codegen
    output = traced.graph.output_node()
    output.args = (tree_unflatten(output.args[0], codegen.pytree_info.out_spec),)  # type: ignore[arg-type]
    traced.graph.set_codegen(fx.graph.CodeGen())
    traced.recompile()
