"""What a run learns from: labelled images, their targets, and which of them train, validate and test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ft.config.schema import Config
from ft.data.decoding import Facts
from ft.data.order import Shuffle
from ft.data.origin import Origin
from ft.data.pictures import Picture, picture_of
from ft.data.samples import Found, read_samples
from ft.data.split_checks import check_folds, torn_groups, unused_shares
from ft.data.splits import Split, choose_splits, describe_splits
from ft.data.targets import targets_of
from ft.data.whole_groups import Stratum
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Remark, Sample
from ft.extension.tasks import Label, LabelSpace
from ft.machine.memory import garbage_waits
from ft.task.chosen import ChosenTask, choose_task
from ft.text.counting import number_of, some_names
from ft.text.names import look_alikes


@dataclass(frozen=True, slots=True)
class Item:
    """One image: its target, which is what the task makes of its label, and the label."""

    picture: Picture
    target: Any
    label: Label = ""


@dataclass(frozen=True)
class ImageData:
    """All images of a run, in an order that is the same on every machine.

    `space` follows from the labels of the training images. `notes` say what ft chose, `warnings` what the user may not
    have meant, and `set_aside` how the images of val and test were, where the data has no such. `digests` are the
    sha256 of the images' content by their pictures' names, and `facts` what is unusual about some of them, once they
    are checked; `decoded` counts those whose pixels were kept then, for the run. `groups` are those that were kept
    whole, by the pictures' names.
    """

    task: ChosenTask = field(repr=False, compare=False)
    space: LabelSpace
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]
    source: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    set_aside: Mapping[Split, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)
    facts: Mapping[str, Facts] = field(default_factory=dict, repr=False)
    decoded: int = 0
    groups: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def parts(self) -> dict[Split, tuple[Item, ...]]:
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def measured(self) -> dict[Split, tuple[Item, ...]]:
        """What the saved model is measured on: the splits that did not train, as far as there are images."""
        return {split: items for split, items in self.parts.items() if items and split != "train"}

    @property
    def items(self) -> tuple[Item, ...]:
        return (*self.train, *self.val, *self.test)

    @property
    def shuffle(self) -> Shuffle:
        """How training images are drawn: in any order, or some more often than others, where the task says so."""
        return self.task.shares(targets_of(self.train), self.space) or True

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, and how many images were set aside, of how many groups, not counting what was left out since."""
        parts = self.parts
        aside = (f"{split}: {number_of(len(parts[split]), 'image')} {how}" for split, how in self.set_aside.items())
        if not self.groups:
            return (*self.notes, *aside)
        groups = {split: {self.groups[item.picture.name] for item in items} for split, items in parts.items() if items}
        counted = (f"{split} {len(found)} ({number_of(len(parts[split]), 'image')})" for split, found in groups.items())
        return (*self.notes, *aside, f"groups: {', '.join(counted)}")


@garbage_waits()
def load_data(config: Config, plugins: Plugins, origin: Origin | None = None) -> ImageData:
    """Ask the data source for its images, split what has no split, and make the task's targets of labels. Opens no
    image, unless the run starts from another one: images that this had are known by their content, and stay in the
    part in which they were.

    Raises FtError when there are no images, none to train on or to validate with, and for a label that is not of the
    task.
    """
    task, split = choose_task(config.task, plugins, config.training), config.split
    found = read_samples(config.data, plugins, split.group)
    samples = found.samples
    try:
        strata = strata_of(samples, task)
        splits = choose_splits(samples, split, strata)
        few = check_folds(samples, split, strata, task)
        splits = splits if origin is None else origin.splits_again(samples, splits)
        data = _labelled(found, splits, task, origin)
    except FtError as error:
        whole = [f"groups by '{split.group}' are kept whole"] if split.group else []
        raise FtError("\n".join([str(error), *whole, *found.warnings])) from None
    kind = task.stratum
    groups = {picture_of(s).name: s.group for s in samples.values() if s.group is not None and split.group}
    told = (*found.warnings, *_alike(data), *unused_shares(samples, split), *torn_groups(samples, splits, split), *few)
    aside = describe_splits(samples, splits, split, kind)
    return with_remarks(replace(data, set_aside=aside, groups=groups, warnings=told))


def strata_of(samples: Mapping[str, Sample], task: ChosenTask) -> dict[str, Stratum]:
    """Which samples are alike to their task, by their keys: a share of each kind is set aside."""
    return dict(zip(samples, _of_labels(samples, task.strata), strict=True))


def _labelled(found: Found, splits: Mapping[str, Split], task: ChosenTask, origin: Origin | None) -> ImageData:
    source = found.source
    parts: dict[Split, dict[str, Sample]] = {"train": {}, "val": {}, "test": {}}
    for key, sample in found.samples.items():
        parts[splits[key]][key] = sample
    if not parts["train"]:
        there = " and ".join(sorted(split for split, part in parts.items() if part))
        raise FtError(f"there are no training images in '{source}', only {there}")
    try:
        labels = [sample.label for sample in parts["train"].values()]
        space = task.space(labels) if origin is None else origin.extended(task, labels)
    except FtError as error:
        whom = f"--task {task.name}" if origin is None else f"--from {origin.folder}"
        raise FtError(f"'{source}' does not fit {whom}: {error}") from None
    items = {split: make_items(part, task, space, f" ({split})") for split, part in parts.items()}
    if not parts["val"]:
        remarks = task.remarks({split: targets_of(part) for split, part in items.items()}, space)
        said = "".join(f"\n{each.text}" for each in remarks if each.warns)
        raise FtError(f"'{source}' has one image of every kind, which leaves none to validate with; add some{said}")
    return ImageData(task, space, items["train"], items["val"], items["test"], source, found.notes)


def make_items(samples: Mapping[str, Sample], task: ChosenTask, space: LabelSpace, where: str = "") -> tuple[Item, ...]:
    """Return samples, by their keys, with the targets that `task` makes of their labels. Raises FtError, naming the
    first image, for a label that `space` does not have."""
    targets = _of_labels(samples, lambda labels: task.encode(labels, space), where)
    pairs = zip(samples.values(), targets, strict=True)
    return tuple(Item(picture_of(sample), target, sample.label) for sample, target in pairs)


def _of_labels(
    samples: Mapping[str, Sample], made_of: Callable[[Sequence[Label]], Sequence[Any]], where: str = ""
) -> Sequence[Any]:
    """What is made of the labels of samples; where that raises FtError, the first image is named."""
    try:
        return made_of([sample.label for sample in samples.values()])
    except FtError:
        for key, sample in samples.items():
            try:
                made_of([sample.label])
            except FtError as error:
                raise FtError(f"{key}{where}: {error}") from None
        raise


def with_remarks(data: ImageData, before: ImageData | None = None) -> ImageData:
    """Return `data` with what its task says of its targets, as far as the data do not say it, in place of what it said
    of the images that there were `before`."""
    stale = {each.text for each in _remarks(before)} if before else set[str]()
    notes = [text for text in data.notes if text not in stale]
    warnings = [text for text in data.warnings if text not in stale]
    for each in _remarks(data):
        said = warnings if each.warns else notes
        if each.text not in said:
            said.append(each.text)
    return replace(data, notes=tuple(notes), warnings=tuple(warnings))


def _remarks(data: ImageData) -> Sequence[Remark]:
    return data.task.remarks({part: targets_of(items) for part, items in data.parts.items()}, data.space)


def _alike(data: ImageData) -> list[str]:
    groups, many = [" and ".join(map(repr, group)) for group in look_alikes(data.space.names)], data.task.record.noun[1]
    said = f"{many} are told apart that differ only in case, space, punctuation or spelling of numbers"
    return [f"{said}: {some_names(groups)}; if they are one, give them one name"] if groups else []
