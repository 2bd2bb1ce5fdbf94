"""How fast a network trains in each arithmetic and memory layout: tried on the network itself, and remembered.

Which is fastest depends on processor and network: matrix products gain from bfloat16, depthwise convolutions do not.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ft.config.schema import Config
from ft.errors import FtError
from ft.machine.devices import Machine, fast_half, processor
from ft.machine.files import cache_folder, publish_json
from ft.machine.ownership import doubtful
from ft.prefix.find import FrozenPrefix
from ft.prefix.records import Tensors
from ft.prefix.split import split
from ft.prefix.state import state_kept
from ft.text.documents import read_json

CLEARLY = 1.15
"""How many times as fast something has to be to be taken instead of fp32, channels last."""
SECONDS = 0.25
"""What a step that is timed should take."""
FEWEST = 8
"""Images of a step that takes longer: in a smaller one, what bf16 costs once a step hides what it saves."""
MOST_TIMES = 20
"""How often a step is timed that takes much less than that, as of a head alone: the best counts."""
LONG = 10.0
"""Seconds of measuring after which nothing more is tried."""


def fastest(paces: Mapping[Machine, float], usual: Machine) -> Machine:
    """The machine to train on: the usual one, unless another is clearly faster."""
    best = max(paces, key=lambda machine: paces[machine], default=usual)
    return best if best != usual and paces[best] >= CLEARLY * paces[usual] else usual


def is_open(config: Config, machine: Machine) -> bool:
    """Whether precision and layout are to be measured: the config leaves them open, and there are steps to measure."""
    undecided = config.machine.precision == "auto" and config.machine.resolved is None
    promised = config.cache.promise in ("exact", "close") or config.training.fits_heads
    return undecided and not promised and fast_half(machine.device) is not None


def resolve_machine(config: Config, machine: Machine) -> Config:
    """Say in the config what was found, for when the run goes on or is repeated."""
    said = {"resolved": machine.precision} if config.machine.precision == "auto" else {}
    section = config.machine.model_copy(update={**said, "channels_last": machine.channels_last})
    return config.model_copy(update={"machine": section})


def measured_paces(
    module: nn.Module, prefix: FrozenPrefix | None, config: Config, machine: Machine, image_size: int
) -> dict[Machine, float]:
    """Images a second of a training step in fp32, in bf16 (on a GPU that lacks it in fp16) and, for whichever is
    faster, in the other memory layout.

    `module` is as it will train, in fp32 and in the layout of `machine`; only what follows `prefix` is tried, where
    there is one, and then in one layout. It is left as it was. What was measured before, of a network of the same
    layers on the same processor, stands, unless other programs kept the processor busy. Empty where nothing is to be
    measured.
    """
    half = fast_half(machine.device)
    if half is None or not is_open(config, machine):
        return {}
    batch_size = config.training.batch_size
    file = _file(module, prefix, machine, image_size, batch_size)
    if (kept := _read(file)) is not None:
        return kept
    paces: dict[Machine, float] = {}
    started, computed = time.perf_counter(), time.process_time()
    with state_kept(module):
        run, two = what_trains(module, prefix, machine, image_size)
        for precision in ("fp32", half):
            tried = replace(machine, precision=precision)
            paces[tried] = images_a_second(module, run, two, tried, batch_size)
        if prefix is None and time.perf_counter() - started < LONG:
            best = fastest(paces, machine)
            tried = replace(best, channels_last=not best.channels_last)
            tried.place(module)
            paces[tried] = images_a_second(module, run, two, tried, batch_size)
            machine.place(module)
    busy = time.process_time() - computed < 0.7 * (time.perf_counter() - started)
    if not busy or machine.device != "cpu":
        with suppress(FtError):  # it can be measured again
            publish_json(file, {"paces": [{**asdict(machine), "pace": pace} for machine, pace in paces.items()]})
    return paces


def what_trains(
    module: nn.Module, prefix: FrozenPrefix | None, machine: Machine, image_size: int
) -> tuple[Callable[[Tensors], Any], Tensors]:
    """What a step runs, and what enters it for two images of noise."""
    generator = torch.Generator().manual_seed(0)
    images = machine.send(torch.rand(2, 3, image_size, image_size, generator=generator))
    if prefix is None:
        return lambda tensors: module(*tensors), (images,)
    halves = split(prefix.observed, prefix.cut)
    with torch.no_grad():
        return halves.suffix, halves.prefix(images)


def images_a_second(
    module: nn.Module, run: Callable[[Tensors], Any], two: Tensors, machine: Machine, batch_size: int
) -> float:
    """Images a second of what `run` makes of a batch like `two` images, forward and backward."""
    count = min(2, batch_size)
    step_seconds(module, run, repeated(two, count, machine), machine)  # what happens the first time only
    each = max(step_seconds(module, run, repeated(two, count, machine), machine) / count, 1e-6)
    count = min(batch_size, max(FEWEST, int(SECONDS / each)))
    batch = repeated(two, count, machine)
    times = max(1, min(MOST_TIMES, int(2 * SECONDS / (count * each))))
    return count / min(step_seconds(module, run, batch, machine) for _ in range(times))


def repeated(two: Tensors, count: int, machine: Machine) -> Tensors:
    """A batch of `count` rows, in the machine's layout."""
    rows = torch.arange(count) % 2
    layout = torch.channels_last if machine.channels_last else torch.contiguous_format
    return tuple(t[rows].contiguous(memory_format=layout if t.ndim == 4 else torch.contiguous_format) for t in two)


def step_seconds(module: nn.Module, run: Callable[[Tensors], Any], batch: Tensors, machine: Machine) -> float:
    """What a training step takes, without the optimizer."""
    inputs = tuple(tensor.clone() for tensor in batch)  # a network may write to them
    machine.wait()
    started = time.perf_counter()
    with machine.autocast():
        outputs = run(inputs)
    every = outputs if isinstance(outputs, tuple) else (outputs,)
    torch.stack([each.float().square().mean() for each in every]).sum().backward()  # type: ignore[no-untyped-call]
    machine.wait()
    seconds = time.perf_counter() - started
    module.zero_grad(set_to_none=True)
    return seconds


def _file(module: nn.Module, prefix: FrozenPrefix | None, machine: Machine, image_size: int, batch_size: int) -> Path:
    key = {
        "layers": [(path, str(type(part)), part.training) for path, part in module.named_modules()],
        "parameters": [(name, tuple(p.shape), p.requires_grad) for name, p in module.named_parameters()],
        "cut": None if prefix is None else [(tensor.path, tensor.shape) for tensor in prefix.cut.tensors],
        "images": [image_size, batch_size],
        "device": [machine.device, machine.channels_last, processor(machine.device)],
        "threads": [torch.get_num_threads(), os.cpu_count()],
        "torch": torch.__version__,
    }
    text = json.dumps(key, sort_keys=True, default=str)
    return cache_folder() / "paces" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _read(file: Path) -> dict[Machine, float] | None:
    if doubtful(file.parent, file):
        return None
    try:
        found = {
            Machine(each["device"], each["precision"], each["channels_last"]): float(each["pace"])
            for each in read_json(file)["paces"]
        }
    except (FtError, OSError, ValueError, KeyError, TypeError):
        return None  # not there, or not ours
    return found or None
