"""Measures a finished model on any images. This loads no torch, unless what computes the model does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ft.config.schema import ComponentConfig
from ft.config.split import SplitConfig
from ft.data.digests import digest_of
from ft.data.image_list import known_splits
from ft.data.load import ImageData, Item, make_items, strata_of
from ft.data.pictures import picture_of
from ft.data.readable import check_measured
from ft.data.samples import read_samples
from ft.data.splits import choose_splits
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing, Sample
from ft.extension.settings import validate
from ft.extension.tasks import LabelSpace
from ft.inference.prediction import no_number
from ft.machine.display import Display
from ft.task.chosen import ChosenTask
from ft.task.evaluation import Evaluation, evaluate, evaluate_arrays
from ft.text.names import typed

Outputs = TypeVar("Outputs", bound=Any)
Targets = TypeVar("Targets")


@dataclass(frozen=True, eq=False)
class Measurable:
    """A model that can be measured: its task and label space, how it sees images, the table that says in what splits
    the run's images were, how the run split them, and what gives a block the (outputs, targets) of images, batch by
    batch, as tensors or as `arrays`."""

    task: ChosenTask
    space: LabelSpace
    preprocessing: Preprocessing
    image_list: Path
    split: SplitConfig
    outputs: Callable[[Sequence[Item], Display], AbstractContextManager[Iterator[Any]]]
    arrays: bool = False


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
        sum_up = evaluate_arrays if model.arrays else evaluate
        return sum_up(finite(batches, measured.val), model.task, model.space), len(measured.val)


def _as_the_run_read(model: Measurable, given: ComponentConfig) -> str:
    """With what settings the run read its data, where data of the same kind are now read without."""
    folder = model.image_list.parent
    if not (folder / "config.yaml").is_file():
        return ""
    from ft.run.folder import Run  # an exported model has none, and this loads torch

    data = Run(folder).config(trust_code=True).data  # nothing is imported here
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


def finite(batches: Iterator[tuple[Outputs, Targets]], items: Sequence[Item]) -> Iterator[tuple[Outputs, Targets]]:
    """The same batches. Raises FtError for an image of which the model makes no numbers: NaN has no likeliest class."""
    seen = 0
    for outputs, targets in batches:
        fine = np.isfinite(np.asarray(outputs)).all(1).tolist()
        if not all(fine):
            image = items[seen + fine.index(False)].picture.name
            raise FtError(no_number(image))
        seen += len(fine)
        yield outputs, targets
