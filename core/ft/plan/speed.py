"""How long a network takes for an image, tried on the network itself as it is to train."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from ft.machine.devices import Machine
from ft.plan.pace import images_a_second, repeated, what_trains
from ft.prefix.find import FrozenPrefix
from ft.prefix.fold import prepare_prefix
from ft.prefix.records import Tensors
from ft.prefix.split import split
from ft.prefix.state import evaluating, state_kept

TIMES = 3
"""How often a forward pass is timed; the best counts, since whatever else the processor does only slows it."""
BATCH = 16
"""Images of a pass that is timed."""


@dataclass(frozen=True)
class Speed:
    """Seconds for an image: of a training step of what is not computed once, of a look at it, which is forward alone,
    of what is computed `once`, 0 where nothing is, and of an answer of the whole network in fp32."""

    step: float
    look: float
    once: float
    answer: float


def measure_speed(
    module: nn.Module,
    prefix: FrozenPrefix | None,
    machine: Machine,
    image_size: int,
    batch_size: int,
    promise: Literal["off", "exact", "close", "fast"],
) -> Speed:
    """Measure on images of noise, in the arithmetic of `machine` and, what is computed once, in that of the `promise`.
    `module` is left as it was."""
    with state_kept(module):
        run, two = what_trains(module, prefix, machine, image_size)
        step = 1 / images_a_second(module, run, two, machine, batch_size)
        look = _forward(run, two, machine)
        generator = torch.Generator().manual_seed(0)
        images = machine.send(torch.rand(2, 3, image_size, image_size, generator=generator))
        in_fp32, once = replace(machine, precision="fp32"), 0.0
        with evaluating(module):
            answer = _forward(lambda tensors: module(*tensors), (images,), in_fp32)
        if prefix is not None and promise != "off":
            computed = prepare_prefix(split(prefix.observed, prefix.cut).prefix, promise).to(machine.device)
            arithmetic = machine if promise == "exact" else in_fp32  # but for what it brings itself
            once = _forward(lambda tensors: computed(*tensors), (images,), arithmetic)
    return Speed(step, look, once, answer)


def _forward(run: Callable[[Tensors], Any], two: Tensors, machine: Machine) -> float:
    """Seconds for an image of a forward pass."""
    batch = repeated(two, BATCH, machine)
    taken = []
    for _ in range(TIMES):
        inputs = tuple(tensor.clone() for tensor in batch)  # a network may write to them
        machine.wait()
        started = time.perf_counter()
        with torch.no_grad(), machine.autocast():
            run(inputs)
        machine.wait()
        taken.append(time.perf_counter() - started)
    return min(taken) / BATCH
