"""What a component answers, in a form that can be compared between this process and one that was spawned."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from ft.extension.installed import Component, implementation, load_plugins, read_settings
from ft.extension.records import Backbone
from ft.extension.references import parse_reference

if TYPE_CHECKING:
    from torch import nn


@contextlib.contextmanager
def spawned_worker() -> Iterator[Executor]:
    """A single process, started by "spawn" as on macOS and Windows: it inherits nothing that was imported here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def answer_elsewhere(
    search_path: list[str],
    environ: Mapping[str, str],
    kind: str,
    reference: str,
    argument: str | None,
    settings: Mapping[str, Any],
) -> Any:
    """Find the component anew and return its `answer`; runs in the worker."""
    search_in(search_path)
    os.environ.update(environ)
    return answer(load_plugins().get(kind, parse_reference(reference)), argument, settings)


def search_in(path: list[str]) -> None:
    """Look for modules where another process does; runs in the worker."""
    sys.path[:] = path


def answer(component: Component, argument: str | None, settings: Mapping[str, Any]) -> Any:
    """Use the component once and return what came of it, comparable and picklable."""
    values = read_settings(component, settings, component.kind.name)
    return import_module(f"ft.testing.{component.kind.name}").answer(component, argument, values)


def seeded_digest(build: Any, seed: int = 0) -> str:
    """Build a module from a seed and return the digest of its tensors' names and values."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return digest(build())


def digest(module: nn.Module) -> str:
    """SHA-256 over names, shapes and values of all parameters and buffers."""
    made = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        made.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        made.update(tensor.detach().cpu().contiguous().flatten().numpy().tobytes())
    return made.hexdigest()


def select(component: Component, backbone: Backbone, argument: str | None, settings: Any) -> Any:
    """What a freezing strategy selects, with images to look at and a module in eval mode if it needs data."""
    from ft.testing.networks import tiny_batches

    function, given = implementation(component, "select"), [backbone, argument, settings]
    if component.record.needs_data:
        from torch.nn.functional import cross_entropy

        backbone.module.eval()
        given += [tiny_batches(), *([cross_entropy] if "loss" in inspect.signature(function).parameters else [])]
    return function(*given)
