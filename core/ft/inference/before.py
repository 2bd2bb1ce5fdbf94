"""Measures how the run from which another one started does on the images that this one validates with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION
from ft.data.earlier import trained_before
from ft.data.image_list import earlier_splits
from ft.data.load import Item
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.tasks import LabelSpace
from ft.inference.load import Trained, load_trained
from ft.inference.predict import outputs_of
from ft.job import Job
from ft.machine.files import sha256_of
from ft.run.folder import Run
from ft.task.evaluation import Answered, evaluate
from ft.task.measured import Before
from ft.text.counting import number_of, some_names


def fared_before(run: Run, plugins: Plugins, job: Job, space: LabelSpace, answers: Answered) -> Before | None:
    """What the run from which `run` started gets on its validation images, as far as it knows their labels and was not
    trained on them, and what `run` gets there, which gave these `answers` to all, read by `space`.

    None where it started from none, or that had another task, where there are no such images, and where that run is
    gone or changed by now, which is a warning: it takes nothing from this one.
    """
    origin, data = job.config.from_run, job.data
    if origin is None:
        return None
    try:
        trained = _as_it_was(Run(origin.path), origin.sha256, plugins, job)
    except FtError as error:
        job.display.warn(f"how {origin.run} does on the same images is not known any more: {error}")
        return None
    if trained.task.name != data.task.name:
        return None
    known = [place for place, item in enumerate(data.val) if _knows(trained, item)]
    splits = earlier_splits(run.path)
    places = [place for place in known if not trained_before(data.val[place], data, splits)]
    if not places:
        return None
    items = _with_its_targets(trained, [data.val[place] for place in places])
    counted = number_of(len(items), "image")
    job.display.say(f"measuring {origin.run} on {counted} of what it knows: {some_names(trained.space.names)}")
    own = replace(job, preprocessing=trained.preprocessing, batch_size=trained.batch_size, machine=trained.machine)
    with outputs_of(trained, items, own, data.digests) as batches:
        then = evaluate(batches, trained.task, trained.space)
    now = evaluate([(answers[0][places], answers[1][places])], data.task, space)
    return Before(origin.run, trained.space.names, len(items), len(known) - len(places), then, now)


def _as_it_was(run: Run, sha256: str, plugins: Plugins, job: Job) -> Trained:
    """The model of a run that is still what it was. Raises FtError where it is not."""
    asked = job.config.machine
    machine = {"device": asked.device, "precision": PREDICT_PRECISION, "workers": asked.workers}
    same_code = set(run.model_file().references) <= set(job.config.references())  # as this run's, which runs already
    trained = load_trained(run, plugins, machine, PREDICT_BATCH, trust_code=same_code)
    if sha256_of(run.path / "model.safetensors") != sha256:
        raise FtError(f"{run.path} changed since")
    return trained


def _knows(trained: Trained, item: Item) -> bool:
    try:
        trained.task.encode([item.label], trained.space)
    except FtError:
        return False
    return True


def _with_its_targets(trained: Trained, items: Sequence[Item]) -> list[Item]:
    targets = trained.task.encode([item.label for item in items], trained.space)
    return [replace(item, target=target) for item, target in zip(items, targets, strict=True)]
