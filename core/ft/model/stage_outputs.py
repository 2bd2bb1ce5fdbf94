"""What a network makes of images at the end of each of its stages, watched while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ft.extension.records import Stage


@dataclass
class Watched:
    """Of the last batch: what each stage gave, in the order of the stages, averaged over places, [N, D] in float32 on
    the CPU; and after how many seconds."""

    outputs: dict[str, Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@contextmanager
def stages_watched(module: nn.Module, stages: Sequence[Stage]) -> Iterator[Watched]:
    """A block in which every batch that this thread runs through `module` is watched.

    The output of a stage is that of whichever of its modules gives a tensor last. Stages of parameters alone, and those
    whose output is no tensor with a row for each image, are left out.
    """
    watched, owner, began = Watched(), threading.get_ident(), [0.0]
    images = [0]

    def begin(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if threading.get_ident() == owner:
            watched.outputs.clear()
            watched.seconds.clear()
            began[0], images[0] = time.perf_counter(), len(inputs[0])

    def keep(stage: str) -> Any:
        def hook(_: nn.Module, inputs: Any, output: Any) -> None:
            if threading.get_ident() == owner and isinstance(output, Tensor) and len(output) == images[0]:
                watched.outputs[stage] = averaged(output.detach()).float().cpu()
                watched.seconds[stage] = time.perf_counter() - began[0]

        return hook

    modules = dict(module.named_modules())
    handles = [module.register_forward_pre_hook(begin)]
    handles += [
        modules[path].register_forward_hook(keep(stage.name))
        for stage in stages
        for path in stage.paths
        if path in modules
    ]
    try:
        yield watched
    finally:
        for handle in handles:
            handle.remove()


def averaged(output: Tensor) -> Tensor:
    """An output as [N, D]: a map [N, D, H, W], rows of places [N, H, W, D] and tokens [N, T, D] by their means over all
    places; anything else by all that it holds of an image."""
    places = places_of(output)
    return output.mean(places) if places else output.flatten(1)


def places_of(output: Tensor) -> tuple[int, ...]:
    """The dimensions of an output that are places; () where there are none."""
    if output.ndim == 4 and output.shape[1] == output.shape[2] != output.shape[3]:
        return (1, 2)
    return {4: (2, 3), 3: (1,)}.get(output.ndim, ())


def seconds_an_image(module: nn.Module, stages: Sequence[Stage], images: Tensor) -> tuple[dict[str, float], float]:
    """How many seconds an image takes until the end of each stage, and until the end of all, in a batch of `images`
    once the network is warm. On a device that computes on its own, what was asked for is waited for at each stage."""
    with torch.no_grad(), stages_watched(module, stages) as watched:
        module(images)
        started = time.perf_counter()
        module(images)
        whole = time.perf_counter() - started
    return {name: seconds / len(images) for name, seconds in watched.seconds.items()}, whole / len(images)
