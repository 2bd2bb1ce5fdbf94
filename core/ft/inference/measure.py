"""Measures a finished run: on its own images as it ends, and later on any."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from ft.cache.image_rows import measured_part
from ft.cache.image_source import BroughtImages
from ft.cache.store import FeatureStore
from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION, ComponentConfig
from ft.config.split import SplitConfig
from ft.data.digests import digest_of
from ft.data.image_list import known_splits
from ft.data.load import ImageData, Item, make_items, strata_of
from ft.data.pictures import picture_of
from ft.data.readable import check_measured
from ft.data.samples import read_samples
from ft.data.splits import Split, choose_splits
from ft.data.targets import targets_of
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing, Sample
from ft.extension.settings import validate
from ft.extension.tasks import LabelSpace
from ft.inference.before import fared_before
from ft.inference.load import Trained, load_trained
from ft.inference.predict import outputs_of
from ft.inference.prediction import no_number
from ft.insight.sureness import how_sure, warned_of
from ft.job import Job
from ft.machine.display import Display
from ft.run.folder import Run
from ft.run.outputs import writing_outputs
from ft.task.chosen import ChosenTask
from ft.task.evaluation import Answered, Evaluation, evaluate
from ft.task.measured import Measured
from ft.task.sure import Judged
from ft.text.counting import number_of
from ft.text.names import typed


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
            yield _finite(batches, items)

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


@dataclass(frozen=True, eq=False)
class Measurable:
    """A model that can be measured: its task and label space, how it sees images, the table that says in what splits
    the run's images were, how the run split them, and what gives a block the (outputs, targets) of images, batch by
    batch."""

    task: ChosenTask
    space: LabelSpace
    preprocessing: Preprocessing
    image_list: Path
    split: SplitConfig
    outputs: Callable[[Sequence[Item], Display], AbstractContextManager[Iterator[Answered]]]


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


def measure(
    model: Measurable,
    data: str | Mapping[str, Any],
    split: str,
    plugins: Plugins,
    display: Display,
    bad_images: Literal["fail", "skip"] = "fail",
) -> tuple[Evaluation, int]:
    """Evaluate on the images of `data` (a reference, or a mapping as in a config) that are in `split`; say how many.

    Where the data brings no split, an image that the run had, known by its content, is in the split it was in there,
    and a new one is split as the run split its own: "val" has no image that the run trained on. Classes are matched by
    name. Images that the model was trained on are told, and those that cannot be read, which are left out, where
    `bad_images` is "skip". Raises FtError for others, and for a class that the model does not know.
    """
    given = validate(ComponentConfig, {"use": data} if isinstance(data, str) else data, "data")
    try:
        found = read_samples(given, plugins)
        samples = found.samples
        splits = _splits(samples, model) if split != "all" else dict.fromkeys(samples, "all")
        wanted = {key: sample for key, sample in samples.items() if splits[key] == split}
        items = make_items(wanted, model.task, model.space)
    except FtError as error:
        raise FtError(f"{error}{_as_the_run_read(model, given)}") from None
    if not items:
        raise FtError(f"'{found.source}' has no images in its {split} split")
    for note in found.notes:
        display.say(note)
    for warning in found.warnings:
        display.warn(warning)
    with display.progress("reading images", len(items), unit="images") as bar:
        measured = ImageData(model.task, model.space, (), items, (), found.source)
        ranged = model.preprocessing.value_range is not None
        measured = check_measured(measured, bad_images, bar.advance, ranged)
    for warning in measured.warnings:
        display.warn(warning)
    if split != "train" and (note := _seen_in_training(measured, model, split)):
        display.say(note)
    with model.outputs(measured.val, display) as batches:
        return evaluate(_finite(batches, measured.val), model.task, model.space), len(measured.val)


def _as_the_run_read(model: Measurable, given: ComponentConfig) -> str:
    """With what settings the run read its data, where data of the same kind are now read without."""
    run = Run(model.image_list.parent)
    if not (run.path / "config.yaml").is_file():
        return ""
    data = run.config(trust_code=True).data  # nothing is imported here
    settings = {name: value for name, value in data.settings.items() if name not in given.settings}
    if not settings or data.use.partition(":")[0] != given.use.partition(":")[0]:
        return ""
    typed_again = " ".join(typed("--set", f"data.{name}={_written(value)}") for name, value in settings.items())
    return f"\nThe run read its images with {typed_again}; say so here, too, if these have the same form"


def _written(value: Any) -> str:
    """A value as --set takes it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _seen_in_training(measured: ImageData, model: Measurable, split: str) -> str:
    """What to say where the model was trained on some of the images, known by their content."""
    known = known_splits(model.image_list)
    count = sum("train" in known.get(measured.digests[item.picture.name], ()) for item in measured.val)
    others = "; --split val measures on others" if split == "all" and count < len(measured.val) else ""
    return f"{count} of these {len(measured.val)} images trained the model{others}" if count else ""


def _splits(samples: Mapping[str, Sample], model: Measurable) -> dict[str, str]:
    strata = strata_of(samples, model.task)
    splits: dict[str, str] = {**choose_splits(samples, model.split.of_new_images(), strata)}
    known = known_splits(model.image_list)
    for key, sample in samples.items():
        before = known.get(digest_of(picture_of(sample)), set()) if sample.split is None else set[str]()
        if before and splits[key] not in before:
            splits[key] = min(before)
    return splits


def _finite(batches: Iterator[Answered], items: Sequence[Item]) -> Iterator[Answered]:
    """The same batches. Raises FtError for an image of which the model makes no numbers: NaN has no likeliest class."""
    seen = 0
    for outputs, targets in batches:
        fine = outputs.isfinite().all(1).tolist()
        if not all(fine):
            image = items[seen + fine.index(False)].picture.name
            raise FtError(no_number(image))
        seen += len(fine)
        yield outputs, targets
