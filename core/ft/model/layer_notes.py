"""Says whose layer an exception came out of: a network's forward runs thousands of times, so no call is wrapped; the
traceback is looked at once there is one."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from ft.errors import FtError
from ft.extension.installed import Component
from ft.model.head import Model


@dataclass(frozen=True, eq=False)
class Layers:
    """A network, and whose its layers are: those at `head_paths` the head builder's, all others the provider's."""

    module: nn.Module
    head_paths: tuple[str, ...]
    provider: str
    head_builder: str


def layers_of(provider: Component, model: Model) -> Layers:
    """The layers of a model with a head in place."""
    return Layers(model.module, model.head_paths, provider.label, model.head_builder or provider.label)


@contextmanager
def noted_layers(layers: Layers) -> Iterator[None]:
    """A block whose exceptions out of a layer's forward, but FtErrors, get a note: which layer, of which plugin,
    distribution and version, in which file and line it begins."""
    try:
        yield
    except FtError:
        raise
    except Exception as error:
        note = _note(error, layers)
        if note and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


def _note(error: Exception, layers: Layers) -> str:
    """The innermost layer on the way to the exception that is no layer of torch, or else the innermost of all."""
    paths: dict[type[nn.Module], list[str]] = {}
    for path, part in layers.module.named_modules():
        paths.setdefault(type(part), []).append(path)
    by_code = {code: kind for kind in paths if (code := getattr(kind.forward, "__code__", None)) is not None}
    entered = [by_code[f.f_code] for f, _ in traceback.walk_tb(error.__traceback__) if f.f_code in by_code]
    if not entered:
        return ""
    kind = next((k for k in reversed(entered) if not k.__module__.startswith("torch.")), entered[-1])
    code = kind.forward.__code__
    in_head = all(_is_below(path, layers.head_paths) for path in paths[kind])
    owner = layers.head_builder if in_head else layers.provider
    return f"raised in forward of {kind.__name__}, of {owner} ({code.co_filename}:{code.co_firstlineno})"


def _is_below(path: str, others: tuple[str, ...]) -> bool:
    return any(path == other or path.startswith(f"{other}.") for other in others)
