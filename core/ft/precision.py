"""In which arithmetic and layout a run trains: what is fastest, if the network bears it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ft.cache.image_source import unvaried_images
from ft.config.schema import Config
from ft.data.transforms import network_input
from ft.machine.devices import Machine
from ft.machine.memory import is_out_of_memory
from ft.model.head import Model
from ft.opening import Opened
from ft.plan.pace import fastest, measured_paces
from ft.prefix.find import FrozenPrefix
from ft.prefix.graph import first_line
from ft.prefix.nearness import NEAR_IN_BF16, nearness
from ft.prefix.state import evaluating, state_kept

TRIED = 16
"""Images that are looked at."""


@dataclass(frozen=True)
class Settled:
    """Where the network is to train, the images a second of each machine that was tried, and what to warn of."""

    machine: Machine
    paces: Mapping[Machine, float]
    warnings: tuple[str, ...]


def settle(opened: Opened, config: Config, prefix: FrozenPrefix | None) -> Settled:
    """Choose the machine by the pace of a training step after `prefix`, and try whether the network bears its 16 bits,
    where it has its weights."""
    model, size = opened.model, opened.built.preprocessing.crop_size
    paces = measured_paces(model.module, prefix, config, opened.machine, size)
    machine, demanded = fastest(paces, opened.machine), config.machine.precision in ("bf16", "fp16")
    if not opened.has_weights:
        return Settled(machine, paces, ())
    machine, loss = without_loss(machine, opened, demanded)
    return Settled(machine, paces, (loss,) if loss else ())


def without_loss(machine: Machine, opened: Opened, demanded: bool) -> tuple[Machine, str]:
    """Return `machine`, in fp32 where 16 bits lose what tells images apart before it reaches the head, and a warning.

    bf16 has three digits, so beside a constant of 1,000 whatever is below 4 is gone; fp16 has nothing above 65,504. A
    head that is given that learns nothing, whether features are kept or not. Where it was `demanded` it stays, and
    there is the warning alone.
    The model has its weights, and is left as it was.
    """
    if machine.precision == "fp32":
        return machine, ""
    model, data, preprocessing = opened.model, opened.data, opened.built.preprocessing
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0)).tolist()[:TRIED]
    pixels = unvaried_images(opened.store, [data.train[row] for row in order], data, preprocessing)
    images = network_input(pixels, preprocessing, machine)
    in_fp32 = replace(machine, precision="fp32")
    try:
        plain = _entering_head(model, images, in_fp32.autocast())
        rounded = _entering_head(model, images, machine.autocast()).to(machine.dtype)  # as a linear layer rounds it
    except RuntimeError as error:
        if is_out_of_memory(error):
            return machine, ""  # a step of training will say so, and what to do
        why = f"it fails ({first_line(error)})"
    else:
        near = nearness((rounded,), (plain,))
        if near.within(NEAR_IN_BF16):
            return machine, ""
        why = f"what an image gives the head {near}"
    if demanded:
        return machine, f"this network does not bear --precision {machine.precision}, and does fp32: {why}"
    return in_fp32, f"the run is in fp32, since this network does not bear {machine.precision}: {why}"


def _entering_head(model: Model, images: torch.Tensor, arithmetic: AbstractContextManager[Any]) -> torch.Tensor:
    """What enters the main head [N, ...] in eval mode."""
    seen: list[torch.Tensor] = []

    def note(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0].detach())

    handle = model.module.get_submodule(model.head_paths[0]).register_forward_pre_hook(note)
    try:
        with evaluating(model.module), state_kept(model.module), torch.no_grad(), arithmetic:
            model.module(images.clone())
    finally:
        handle.remove()
    return seen[-1]
