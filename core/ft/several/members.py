"""Finished runs that are to be put together: what they have in common, and on which images they may be judged."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ft.config.run_folders import folder_meant
from ft.data.image_list import ListedImage, known_splits, listed_images
from ft.data.load import Item
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.extension.tasks import LabelSpace
from ft.inference.load import Trained
from ft.inference.predict import outputs_of
from ft.machine.display import Display
from ft.run.folder import Run
from ft.run.outputs import read_outputs
from ft.run.records import ModelFile
from ft.task.chosen import ChosenTask
from ft.text.counting import number_of, some_names

MEASURED = ("val", "test")


@dataclass(frozen=True, eq=False)
class Member:
    """A finished run: its folder, what its model is, its images, and in which parts it, or a run that it started from,
    had each, by its sha256."""

    run: Run
    about: ModelFile
    images: tuple[ListedImage, ...]
    splits: Mapping[str, set[str]]

    def __str__(self) -> str:
        return str(self.run.path)

    def kept(self, split: str) -> dict[str, Tensor]:
        """What the saved model gives for images of a split [K], by their sha256, as far as that was kept."""
        rows = [image.digest for image in self.images if image.split == split]
        outputs = read_outputs(self.run.path).get(split, torch.empty(0))
        return dict(zip(rows, outputs, strict=True)) if len(outputs) == len(rows) else {}


def read_members(folders: Sequence[Path]) -> list[Member]:
    """Read what finished runs are. Raises FtError for one that is none, for fewer than two, and for one named twice."""
    meant = [folder_meant(folder) for folder in folders]
    if len(meant) < 2:
        raise FtError("it takes two runs or more; name them one after the other")
    if twice := [str(path) for path in meant if sum(os.path.realpath(path) == os.path.realpath(o) for o in meant) > 1]:
        raise FtError(f"{twice[0]} is named twice; each run counts once")
    members = []
    for path in meant:
        run = Run(path)
        about = run.model_file()
        if not (path / "model.safetensors").is_file():
            raise FtError(f"{path} has no model.safetensors yet: it is no finished run")
        table = path / "images.csv"
        members.append(Member(run, about, tuple(listed_images(table)), known_splits(table)))
    return members


def check_alike(members: Sequence[Member], keys: Sequence[str]) -> None:
    """Raise FtError, with what differs, where one of these keys of model.json is not that of the first run."""
    first, *others = members
    for other in others:
        for key in keys:
            then, now = getattr(first.about, key), getattr(other.about, key)
            if then != now:
                raise FtError(f"the runs differ in {key}: {first} has {_told(then)}; {other} has {_told(now)}")


def shared_space(members: Sequence[Member], task: ChosenTask) -> LabelSpace:
    """The label space that all have, with those numbers that are the same in all of them. Raises FtError where others
    are needed to read outputs, and nothing chooses them anew."""
    first = members[0].about.space
    every = [dict(member.about.numbers) for member in members]
    numbers = {name: value for name, value in first.numbers.items() if all(each.get(name) == value for each in every)}
    others = sorted({name for each in every for name in each} - numbers.keys())
    if others and task.record.calibrate is None:
        raise FtError(
            f"the runs read their outputs with other numbers ({some_names(others)}), since they were trained on other "
            "images; train them with one split.seed"
        )
    return LabelSpace(first.names, first.outputs, numbers)


def parts_of(members: Sequence[Member]) -> dict[str, str]:
    """In which part each image of any of the runs is for all of them together, by its sha256: in training where it
    trained any of them, or one before; in test where it was in no other part; else in validation."""
    found: dict[str, set[str]] = {}
    for member in members:
        for digest, parts in member.splits.items():
            found.setdefault(digest, set()).update(parts)
    return {digest: _part(every) for digest, every in found.items()}


def _part(every: set[str]) -> str:
    return "train" if "train" in every else "test" if every == {"test"} else "val"


def images_in(members: Sequence[Member], parts: Mapping[str, str]) -> dict[str, list[ListedImage]]:
    """The images of all runs, each once, by the part in which they are for all together, in the order of the first run
    that has them. Raises FtError for one with two labels, and where none is left that trained no run."""
    found: dict[str, list[ListedImage]] = {"train": [], "val": [], "test": []}
    seen: dict[str, ListedImage] = {}
    for member in members:
        for image in member.images:
            before = seen.setdefault(image.digest, image)
            if before is image:
                found[parts[image.digest]].append(image)
            elif before.label != image.label:
                raise FtError(f"{image.path} is '{image.label}' in {member}, and '{before.label}' in another run")
    if not found["val"]:
        raise FtError(
            "each image that validated one of the runs trained another, so nothing can be said of them together; train "
            "them with one split.seed, which does not follow from --seed"
        )
    return found


def told_of_images(members: Sequence[Member], images: Mapping[str, Sequence[ListedImage]]) -> str:
    """How many images validate that trained none, where the runs split theirs otherwise; "" where they did alike."""
    every = {image.digest for member in members for image in member.images if image.split == "val"}
    left = len(every) - len(images["val"])
    counted = f"{left} of {number_of(len(every), 'validation image')} trained one of them and are left out"
    return f"the runs split their images otherwise: {counted}" if left > 0 else ""


def told_of_beginnings(members: Sequence[Member]) -> str:
    """That runs began with other weights, where they did: what lies between such is seldom any good."""
    began = [member.about.provenance.get("weights") or {} for member in members]
    if len({str(each.get("sha256")) if isinstance(each, dict) else str(each) for each in began}) == 1:
        return ""
    return "the runs began with other weights than each other; an average of such is seldom any good"


def items_of(images: Sequence[ListedImage], task: ChosenTask, space: LabelSpace) -> list[Item]:
    """Images with their targets, to be opened where they were."""
    targets = task.encode([image.label for image in images], space)
    return [
        Item(Picture.at(Path(image.path)), target, image.label) for image, target in zip(images, targets, strict=True)
    ]


def answers_of(
    member: Member,
    images: Sequence[ListedImage],
    items: Sequence[Item],
    load: Callable[[], Trained],
    display: Display,
) -> Tensor:
    """The outputs [N, K] of the saved model for images: those that it kept, else computed anew by what `load` gives.
    Raises FtError for an image that is not there any more, or changed."""
    kept = {digest: row for split in MEASURED for digest, row in member.kept(split).items()}
    if all(image.digest in kept for image in images):
        return torch.stack([kept[image.digest] for image in images])
    return computed(load(), images, items, display)


def computed(trained: Trained, images: Sequence[ListedImage], items: Sequence[Item], display: Display) -> Tensor:
    """The outputs [N, K] of a model for images. Raises FtError as `answers_of`."""
    digests = {item.picture.name: image.digest for item, image in zip(items, images, strict=True)}
    with outputs_of(trained, items, trained.looking(display), digests) as batches:
        return torch.cat([outputs for outputs, _ in batches])


def _told(value: object) -> str:
    return some_names(value) if isinstance(value, tuple) else str(value)
