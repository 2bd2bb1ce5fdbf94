"""A run's time budget: how long its phases take is measured, and what does not fit is cut, before the first step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ft.config.budget import BudgetConfig
from ft.config.schema import Config
from ft.data.dataset import ImageDataset
from ft.data.loaders import Workers, loader_processes
from ft.data.transforms import train_transform
from ft.deciding import Prepared, decide
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.machine.randomness import seed_all
from ft.opening import Opened
from ft.plan.budget import Clock, Takes, fitting
from ft.plan.records import Place, Plan
from ft.plan.speed import Speed, measure_speed
from ft.text.durations import as_duration

PASSES_OF_A_SOLVER = 100
"""About how often fits of a head, all penalties together, see every image."""
MARGIN = 1.25
"""What is measured in short bursts on noise takes longer in a run: 84 s of a pass for which 69 s were measured, with
EfficientNet-Lite0 on two cores that others kept busy, on 2026-11-30."""
DECODED = 8
"""Images that are decoded to see how long that takes."""


def within_budget(opened: Opened, plugins: Plugins, display: Display, began: float) -> Opened:
    """Return what was `opened`, for a config of which only what fits into its time budget is left.

    The time begins at `began`, as time.monotonic tells it. A config without a budget stays, and so does one for which
    that was decided before. Raises FtError where not even one phase fits.
    """
    budget = opened.whole.time_budget
    if budget is None or budget.decided is not None:
        return opened
    takes, ending = _measured(opened, plugins, display)
    left = budget.seconds - (time.monotonic() - began) - ending
    epochs = fitting(takes, left)
    if not any(epochs):
        raise FtError(_too_short(budget, takes, budget.seconds - left))
    whole = _cut(opened.whole, takes, epochs)
    kept = (replace(each, epochs=number) for each, number in zip(takes, epochs, strict=True) if number)
    clock = Clock(began, budget.seconds, ending, tuple(kept))
    seed_all(whole.seed)  # as in a run for which all this was decided before
    if not whole.phases:
        training = opened.config.training.model_copy(update={"epochs": whole.training.epochs})
        config = opened.config.model_copy(update={"training": training, "time_budget": whole.time_budget})
        return replace(opened, config=config, whole=config, clock=clock)
    return replace(opened, whole=whole, clock=clock).at(Place(of=len(whole.phases)), plugins)


def _measured(opened: Opened, plugins: Plugins, display: Display) -> tuple[tuple[Takes, ...], float]:
    """What each phase takes, and the seconds after the last: the saved model answers for images it did not train on."""
    takes, ending = list[Takes](), 0.0
    for ready in _each(opened, plugins, display):
        with display.progress("measuring what fits into the time"):
            size, batch = ready.built.preprocessing.crop_size, ready.config.training.batch_size
            how = (ready.machine, size, batch, ready.plan.cache.promise)
            speed = measure_speed(ready.model.module, ready.prefix, *how)
            decoding = _seconds_to_decode(ready)
        takes.append(takes_of(ready.plan, speed, decoding))
        ending = MARGIN * (ready.plan.images["val"] + ready.plan.images["test"]) * (speed.answer + decoding)
    return tuple(takes), ending


def takes_of(plan: Plan, speed: Speed, decoding: float) -> Takes:
    """About how long a phase takes, whose images take so long in the network and `decoding` seconds each before."""
    train, val, views, kept = plan.images["train"], plan.images["val"], plan.cache.views, plan.cache.keeps != "nothing"
    each = 0.0 if kept else decoding
    once = (train * views + val) * (decoding + speed.once) if kept else 0.0
    epochs = plan.epochs - plan.place.begins
    seen = PASSES_OF_A_SOLVER / epochs * views if plan.optimizer.solves else 1
    epoch = seen * train * (speed.step + each) + val * (speed.look + each)
    return Takes(MARGIN * once, MARGIN * epoch, epochs, plan.optimizer.solves)


def _each(opened: Opened, plugins: Plugins, display: Display) -> Iterator[Prepared]:
    """Each phase, decided for the network as it is now, which is in its modes until the next one is asked for."""
    ready = decide(opened, plugins, display, None)
    yield ready
    while ready.plan.place.number < ready.plan.place.of:
        place = Place(ready.plan.place.number + 1, ready.plan.place.of, ready.plan.epochs)
        ready = decide(opened.at(place, plugins), plugins, display, None)
        yield ready


def _seconds_to_decode(ready: Prepared) -> float:
    """Seconds until the next training image is decoded and varied, by as many processes as there will be."""
    items, config = ready.data.train, ready.config
    transform = train_transform(ready.built.preprocessing, ready.augmentation)
    dataset = ImageDataset(items, transform, config.seed, None, ready.data.digests)
    taken = []
    for index in range(0, len(items), max(1, len(items) // DECODED)):
        started = time.perf_counter()
        dataset[0, index]
        taken.append(time.perf_counter() - started)
    each = statistics.median(taken)  # the first one may open an archive, or load what decodes
    batches = -(-len(items) // config.training.batch_size)
    return each / max(1, loader_processes(Workers(config.machine.workers, ready.machine.device), batches))


def _cut(config: Config, takes: Sequence[Takes], epochs: Sequence[int]) -> Config:
    """The config with so many epochs in each phase, without those that have none, and with what is told of that."""
    budget = config.time_budget
    assert budget is not None
    decided = {"time_budget": budget.model_copy(update={"decided": tuple(_told(takes, epochs))})}
    less = [left < each.epochs for each, left in zip(takes, epochs, strict=True)]
    if not config.phases:
        training = config.training.model_copy(update={"epochs": epochs[0]}) if less[0] else config.training
        return config.model_copy(update={**decided, "training": training})
    phases = [
        phase.model_copy(update={"epochs": left}) if cut else phase
        for phase, left, cut in zip(config.phases, epochs, less, strict=True)
        if left
    ]
    return config.model_copy(update={**decided, "phases": tuple(phases)})


def _told(takes: Sequence[Takes], epochs: Sequence[int]) -> Iterator[str]:
    """What is cut, in words."""
    for number, (each, left) in enumerate(zip(takes, epochs, strict=True), start=1):
        which = f"phase {number} " if len(takes) > 1 else ""
        if not left:
            yield f"{which}is left out, as it takes {as_duration(each.least)} or more"
        elif left < each.epochs:
            yield f"{which}has {left} of {each.epochs} epochs, of {as_duration(each.epoch)}"


def _too_short(budget: BudgetConfig, takes: Sequence[Takes], besides: float) -> str:
    """What to say where nothing fits."""
    least = min(takes, key=lambda each: each.least)
    which = f"phase {takes.index(least) + 1}, the shortest," if len(takes) > 1 else "training"
    return (
        f"--time-budget {budget.asked} is too short: {as_duration(besides)} go by before and after, and {which} takes "
        f"{as_duration(least.once)} for what is computed once and {as_duration(least.least - least.once)} or more from "
        f"there; give it {as_duration(1.2 * (least.least + besides))}, or look at smaller images with --image-size"
    )
