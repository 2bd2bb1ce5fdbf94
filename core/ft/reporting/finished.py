"""A finished run as its folder tells it: all that a page of it is made of, whenever it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from ft.config.images import AUTO, ImagesConfig
from ft.config.phases import configs_of
from ft.config.schema import ComponentConfig, Config
from ft.data.image_list import ListedImage, listed_images
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing
from ft.extension.tasks import Figure, LabelSpace
from ft.plan.records import Plan
from ft.run.folder import Run
from ft.run.records import ReportFile, VersionsFile, read_record
from ft.task.chosen import ChosenTask, choose_task
from ft.text.reading import read_text


@dataclass(frozen=True, eq=False)
class Answers:
    """What the saved model gives for images of a split, "val" or "test": outputs [N, K] in float32 and targets [N, ...]
    as its task has them. `places` are the numbers of these images in the list of all; they lack those that cannot be
    looked at any more."""

    split: str
    places: tuple[int, ...]
    outputs: Tensor
    targets: Tensor


@dataclass(frozen=True, eq=False)
class Finished:
    """A run that is done. `plan` is None where another version of ft wrote it in another form. `history` has a mapping
    for each epoch, as metrics.jsonl has it; `images` are those of images.csv, and `train` the targets of those that
    trained."""

    run: Run
    config: Config
    report: ReportFile
    plan: Plan | None
    history: tuple[Mapping[str, Any], ...]
    versions: VersionsFile
    provenance: Mapping[str, Any]
    preprocessing: Preprocessing
    images: tuple[ListedImage, ...]
    task: ChosenTask
    space: LabelSpace
    train: Tensor

    @property
    def figure(self) -> Figure:
        """By what the run is judged first."""
        return self.task.figures[0]

    @property
    def best(self) -> Mapping[str, Any]:
        """The epoch whose weights were saved; of averaged ones the last, with the figures of the average."""
        best = self.history[self.report.best_epoch - 1]
        figures = self.report.chosen_by if self.report.averaged else {}
        return {**best, **{f"val_{name}": value for name, value in figures.items()}}

    @property
    def phases(self) -> Sequence[Mapping[str, Any]]:
        """What the run was asked for, one after the other, as plan.json has it."""
        phases: Sequence[Mapping[str, Any]] = self.report.model_dump().get("phases", ())
        return phases

    @property
    def seen(self) -> ImagesConfig:
        """How training saw images, of a run in phases in its last one, with what `auto` came to."""
        images = configs_of(self.config)[-1].images
        if images.augment.use != AUTO:
            return images
        found = self.plan.augment if self.plan else "none"
        return images.model_copy(update={"augment": ComponentConfig(use=found)})

    @property
    def in_phases(self) -> bool:
        """Whether its config lists phases."""
        return bool(self.config.phases)

    def count(self, split: str) -> int:
        """How many images a split has."""
        return sum(image.split == split for image in self.images)


def read_finished(run: Run, plugins: Plugins, trust_code: bool) -> Finished:
    """Read what the folder of a finished run holds. Raises FtError where a file is missing or not what ft writes, and
    where the run's task is not installed, or named as code that is not to be trusted."""
    report = read_record(run.path / "report.json", ReportFile)
    config, about = run.config(trust_code), run.model_file()
    task = choose_task(about.task, plugins.preferring(about.prefer))
    images = tuple(listed_images(run.path / "images.csv"))
    history = _history(run.path / "metrics.jsonl")
    if not 1 <= report.best_epoch <= len(history):
        raise FtError(f"{run.path / 'metrics.jsonl'} has no epoch {report.best_epoch}, the best one of report.json")
    return Finished(
        run,
        config,
        report,
        _plan(run),
        history,
        run.versions_file(),
        about.provenance,
        about.preprocessing,
        images,
        task,
        about.space,
        targets_in(images, "train", task, about.space),
    )


def targets_in(images: Sequence[ListedImage], split: str, task: ChosenTask, space: LabelSpace) -> Tensor:
    """The targets of the images of a split, in their order."""
    labels = [image.label for image in images if image.split == split]
    return torch.as_tensor(list(task.encode(labels, space))) if labels else torch.empty(0)


def _history(path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        return tuple(json.loads(line) for line in read_text(path).splitlines())
    except (OSError, ValueError) as error:
        raise FtError(f"cannot read {path}: {error}") from None


def _plan(run: Run) -> Plan | None:
    try:
        return _plans().validate_python(run.read_json("plan.json"))
    except ValidationError:
        return None


@cache
def _plans() -> TypeAdapter[Plan]:
    """Made once: that takes a twentieth of a second."""
    return TypeAdapter(Plan)
