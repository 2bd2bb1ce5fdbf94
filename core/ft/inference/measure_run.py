"""Measures a run's model on the run's own images as it ends, and says how it is measured later, on any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from ft.cache.image_rows import measured_part
from ft.cache.image_source import BroughtImages
from ft.cache.store import FeatureStore
from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION
from ft.data.load import ImageData, Item
from ft.data.splits import Split
from ft.data.targets import targets_of
from ft.extension.installed import Plugins
from ft.inference.before import fared_before
from ft.inference.load import Trained, load_trained
from ft.inference.measure import Measurable, finite
from ft.inference.predict import outputs_of
from ft.insight.sureness import how_sure, warned_of
from ft.job import Job
from ft.machine.display import Display
from ft.run.folder import Run
from ft.run.outputs import writing_outputs
from ft.task.evaluation import Answered, Evaluation, evaluate
from ft.task.measured import Measured
from ft.task.sure import Judged
from ft.text.counting import number_of


def measure_saved(run: Run, plugins: Plugins, store: FeatureStore, job: Job, otherwise: str) -> Measured:
    """Measure what a run just saved on its validation images, for which the task first chooses what its answers need,
    and on its test images; where epochs were measured `otherwise` on the same images, that is said.

    The model is rebuilt from the run's files and computes as in `ft evaluate`, so these are the figures that anybody
    will get who uses it; features that were kept, and the run's precision, play no part. Decoded images that were kept
    do, being the same. The outputs are kept in the run's folder. Raises FtError for an image that changed since the run
    began, and StopAsked when a signal asks to stop.
    """
    asked, data = job.config.machine, job.data
    machine = {"device": asked.device, "precision": PREDICT_PRECISION, "workers": asked.workers}

    @contextmanager
    def answers(name: str, items: Sequence[Item], unlike: str = "") -> Iterator[Iterator[Answered]]:
        counted = number_of(len(items), f"{name} image")
        job.display.say(f"measuring the saved model on {counted}, in {PREDICT_PRECISION} as ft evaluate{unlike}")
        trained = load_trained(run, plugins, machine, PREDICT_BATCH, trust_code=True)  # anew: a network may remember
        own = replace(job, preprocessing=trained.preprocessing, batch_size=trained.batch_size, machine=trained.machine)
        part = measured_part(name, items, own)
        images = None if job.config.cache.promise == "off" else BroughtImages(store, part, own)
        with outputs_of(trained, items, own, data.digests, images) as batches:
            yield finite(batches, items)

    unlike = f"; the epochs were measured {otherwise}" if otherwise else ""
    shapes: dict[str, tuple[int, int]] = {
        name: (len(items), data.space.outputs) for name, items in data.measured.items()
    }
    with writing_outputs(run.path, shapes) as kept:
        with answers("validation", data.val, unlike) as batches:
            kept.take("val", (outputs for outputs, _ in batches))
        answered = {"val": (kept["val"], targets_of(data.val))}
        space = data.task.calibrate(*answered["val"], data.space)
        run.keep_numbers(space)
        if data.test:
            with answers("test", data.test) as batches:
                kept.take("test", (outputs for outputs, _ in batches))
            answered["test"] = kept["test"], targets_of(data.test)
    found = {name: evaluate(_in_batches(each), data.task, space) for name, each in answered.items()}
    split: Split = "test" if data.test else "val"
    judged = _judged(replace(data, space=space), split, answered[split], found[split], job.display)
    before = fared_before(run, plugins, job, space, answered["val"])
    return Measured(found["val"], found.get("test"), judged, before)


def _in_batches(answered: Answered) -> Iterator[Answered]:
    """In those of `ft evaluate`, so that the figures are the same in every bit."""
    return zip(*(torch.split(each, PREDICT_BATCH) for each in answered), strict=True)


def _judged(data: ImageData, split: Split, answers: Answered, found: Evaluation, display: Display) -> Judged:
    """How far the figures `found` on a split can be trusted. What keeps its task from telling is a warning, since the
    run is done by then."""
    images, train = len(answers[0]), targets_of(data.train)
    try:
        sure = how_sure(data.task, data.space, train, found.figures, images, answers)
        return Judged(split, images, sure, warned_of(data.task, data.space, answers))
    except Exception as error:  # also of a task's own code, and memory that runs out
        display.warn(f"it was not found out how sure the figures are ({type(error).__name__}: {error})")
        return Judged(split, images)


def measurable(trained: Trained) -> Measurable:
    """A run's model as it is measured."""
    return Measurable(
        trained.task,
        trained.space,
        trained.preprocessing,
        trained.image_list,
        trained.split,
        lambda items, display: outputs_of(trained, items, trained.looking(display)),
    )
