"""What a run learns from: labelled images, their classes, and which of them train, validate and test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ft.config.schema import ComponentConfig, Config
from ft.data.decoding import Facts
from ft.data.pictures import Picture, objection_to, picture_of
from ft.data.reference import data_reference
from ft.data.source_cache import load_samples
from ft.data.split_checks import check_folds, torn_groups, unused_shares
from ft.data.splits import Split, choose_splits, describe_splits
from ft.errors import FtError, did_you_mean
from ft.extension.installed import Plugins, read_settings
from ft.extension.records import Remark, Sample
from ft.machine.memory import garbage_waits
from ft.text.counting import number_of
from ft.text.names import as_text, class_name, look_alikes, portable
from ft.text.redaction import check_whole, shown, what_is_left_out


@dataclass(frozen=True)
class Item:
    """One image, and the index of its class."""

    picture: Picture
    label: int


@dataclass(frozen=True)
class ImageData:
    """All images of a run, in an order that is the same on every machine.

    `classes` are those of the training images, sorted; an item's label is an index into them. `notes` say what ft
    chose, `warnings` what the user may not have meant, and `set_aside` how the images of val and test were, where the
    data has no such. `digests` are the sha256 of the images' content by their
    pictures' names, and `facts` what is unusual about some of them, once they are checked; `decoded` counts those whose
    pixels were kept then, for the run. `groups` are those that were kept whole, by the pictures' names.
    """

    classes: tuple[str, ...]
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
    def items(self) -> tuple[Item, ...]:
        return (*self.train, *self.val, *self.test)

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, and how many images were set aside, of how many groups, not counting what was left out since."""
        parts: dict[Split, tuple[Item, ...]] = {"train": self.train, "val": self.val, "test": self.test}
        aside = (f"{split}: {number_of(len(parts[split]), 'image')} {how}" for split, how in self.set_aside.items())
        if not self.groups:
            return (*self.notes, *aside)
        groups = {split: {self.groups[item.picture.name] for item in items} for split, items in parts.items() if items}
        counted = (f"{split} {len(found)} ({number_of(len(parts[split]), 'image')})" for split, found in groups.items())
        return (*self.notes, *aside, f"groups: {', '.join(counted)}")

    @property
    def labels(self) -> list[int]:
        """Those of the training images, in their order."""
        return [item.label for item in self.train]


@dataclass(frozen=True)
class Found:
    """What a data source has: its samples by their path relative to what they have in common, in that order.

    `source` is its reference. `notes` say how it was read, `warnings` what the user may not have meant.
    """

    samples: Mapping[str, Sample]
    source: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@garbage_waits()
def load_data(config: Config, plugins: Plugins) -> ImageData:
    """Ask the data source for its images, split what has no split, and number the classes. Opens no image.

    Raises FtError when there are no images, fewer than two classes, or a class that no training image has.
    """
    found = read_samples(config.data, plugins, config.split.group)
    samples = found.samples
    splits = choose_splits(samples, config.split)
    classes = tuple(sorted({s.label for key, s in samples.items() if splits[key] == "train"}, key=_natural))
    try:
        few = check_folds(samples, config.split)
        _check_classes(classes, samples, splits, found.source)
    except FtError as error:
        whole = [f"groups by '{config.split.group}' are kept whole"] if config.split.group else []
        raise FtError("\n".join([str(error), *whole, *found.warnings])) from None
    numbers = {name: number for number, name in enumerate(classes)}

    def part(wanted: Split) -> tuple[Item, ...]:
        return tuple(Item(picture_of(s), numbers[s.label]) for key, s in samples.items() if splits[key] == wanted)

    parts, aside = (part("train"), part("val"), part("test")), describe_splits(samples, splits, config.split)
    groups = {picture_of(s).name: s.group for s in samples.values() if s.group is not None and config.split.group}
    data = ImageData(classes, *parts, found.source, found.notes, set_aside=aside, groups=groups)
    said = (*unused_shares(samples, config.split), *torn_groups(samples, splits, config.split), *few, *unmeasured(data))
    return replace(data, warnings=(*found.warnings, *said))


@garbage_waits()
def read_samples(data: ComponentConfig, plugins: Plugins, group: str | None = None) -> Found:
    """Ask a data source for its samples, each once and with the name of its class, and with its `group` where a column
    is named. Raises FtError for none."""
    check_whole(data.use)
    reference = data_reference(data.use, plugins)
    source = as_text(shown(str(reference)))
    component = plugins.get("data", reference)
    settings = read_settings(component, data.settings, "data")
    given = list(load_samples(component, reference.argument, settings, group))
    remarks = [each for each in given if isinstance(each, Remark)]
    who = f"data source '{component.name}' of {component.distribution} {component.version}"
    samples, respelt = _named([each for each in given if not isinstance(each, Remark)], who)
    if not samples:
        raise FtError(f"there are no images in '{source}'")
    if group is not None and (alone := next((each for each in samples if not _is_group(each.group)), None)):
        raise FtError(
            f"{who} yielded {alone!r:.200}; with split.group, each sample has a group: what '{group}' is of it, as text"
        )
    keyed, repeated = _keyed(samples, who, source)
    names = sorted({sample.label for sample in samples}, key=_natural)
    warned = [remark.text for remark in remarks if remark.warns]
    return Found(
        samples=keyed,
        source=source,
        notes=tuple(remark.text for remark in remarks if not remark.warns),
        warnings=(*what_is_left_out(data.use), *warned, *respelt, *_alike(names), *repeated),
    )


def _is_group(group: object) -> bool:
    return isinstance(group, str) and bool(group.strip())


def number_classes(samples: Sequence[Sample], classes: Sequence[str]) -> tuple[Item, ...]:
    """Return samples as items of a model that knows `classes`. Raises FtError for a class that it does not know."""
    numbers = {name: number for number, name in enumerate(classes)}
    for sample in samples:
        if sample.label not in numbers:
            raise FtError(
                f"the model does not know the class '{sample.label}' ({picture_of(sample).name})."
                f"{did_you_mean(sample.label, classes)} It knows: {some_names(classes)}"
            )
    return tuple(Item(picture_of(sample), numbers[sample.label]) for sample in samples)


def _named(found: Sequence[Any], who: str) -> tuple[list[Sample], list[str]]:
    """Return the samples with names of classes as labels, and a warning where labels that differ name one class."""
    names: dict[str, str] = {}
    samples = []
    for sample in found:
        if not isinstance(sample, Sample) or not isinstance(sample.label, str) or not sample.label.strip():
            raise FtError(f"{who} yielded {sample!r:.200}; it yields ft.Sample(path, label) with a name as label")
        if objection := objection_to(sample):
            raise FtError(f"{who} yielded a sample of '{sample.label}' with {objection}")
        if sample.label not in names:
            names[sample.label] = class_name(sample.label)
        name = names[sample.label]
        samples.append(sample if name == sample.label else replace(sample, label=name))
    labels: dict[str, list[str]] = {}
    for label, name in names.items():
        labels.setdefault(name, []).append(label)
    merged = [f"{_quoted(each)} are the class '{name}'" for name, each in labels.items() if len(each) > 1]
    said = "labels that differ only in space around them, or in how accents are spelt, are one class"
    return samples, [f"{said}: {some_names(merged)}"] if merged else []


def _alike(names: Iterable[str]) -> list[str]:
    groups = [_quoted(group) for group in look_alikes(names)]
    said = "classes are told apart that differ only in case, space, punctuation or spelling of numbers"
    return [f"{said}: {some_names(groups)}; if they are one, give them one name"] if groups else []


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)


def _keyed(samples: Sequence[Sample], who: str, source: str) -> tuple[dict[str, Sample], list[str]]:
    """Return the samples by their key, or their path relative to what they have in common, in that order, each once."""
    keyed: dict[str, Sample] = {}
    repeated = 0
    for key, sample in _with_keys(samples):
        if key not in keyed:
            keyed[key] = sample
            continue
        other = keyed[key]
        if sample.open is not None or other.open is not None:
            raise FtError(f"{who} yielded two images with the key '{key}'; a key is of one image")
        if (other.label, other.split, other.group) != (sample.label, sample.split, sample.group):
            raise FtError(
                f"{sample.path} is in '{source}' twice: as {_role(other)} and as {_role(sample)}; an image has one "
                "class and belongs to one split" + (" and one group" if other.group else "")
            )
        repeated += 1
    warnings = (
        [f"{number_of(repeated, 'image is', 'images are')} listed more than once and counted once"] if repeated else []
    )
    return dict(sorted(keyed.items(), key=lambda entry: portable(entry[0]))), warnings


def _with_keys(samples: Sequence[Sample]) -> Iterator[tuple[str, Sample]]:
    paths = [None if sample.path is None else os.path.abspath(sample.path) for sample in samples]
    folders = {os.path.dirname(path) for path in paths if path is not None}
    root = os.path.join(os.path.commonpath(folders), "") if folders else ""
    for path, sample in zip(paths, samples, strict=True):  # not pathlib, which takes ten times as long
        yield sample.key if path is None else path[len(root) :].replace(os.sep, "/"), sample


def _role(sample: Sample) -> str:
    group = f" of {sample.group}" if sample.group else ""
    return f"'{sample.label}'{group}" + (f" in {sample.split}" if sample.split else "")


def _check_classes(
    classes: Sequence[str], samples: Mapping[str, Sample], splits: Mapping[str, Split], source: str
) -> None:
    if not classes:
        raise FtError(f"there are no training images in '{source}', only {' and '.join(sorted(set(splits.values())))}")
    learnt = set(classes)
    for key, sample in samples.items():
        if sample.label not in learnt:
            raise FtError(
                f"class '{sample.label}' is in {splits[key]} but not in train, so it cannot be learnt ({key})."
                f"{did_you_mean(sample.label, classes)} Classes of train: {some_names(classes)}"
            )
    if len(classes) < 2:
        raise FtError(f"'{source}' has one class only, '{classes[0]}'; telling classes apart takes two or more")
    if "val" not in splits.values():
        raise FtError(f"'{source}' has one image of every class, which leaves none to validate with; add some")


def unmeasured(data: ImageData) -> list[str]:
    """Say which classes a split has no images of; labels are safe, but nothing measures these classes."""
    warnings = []
    for split, items in (("val", data.val), ("test", data.test)):
        present = {item.label for item in items}
        missing = [name for label, name in enumerate(data.classes) if label not in present]
        if items and missing:
            warnings.append(
                f"{split} has no image of {len(missing)} of {len(data.classes)} classes: {some_names(missing)}"
            )
    return warnings


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key that puts 'class 10' after 'class 9'."""
    parts = re.split(r"0*([0-9]+)", name)  # text and numbers, which compare by length first, take turns
    return [(len(part), part) if place % 2 else (0, part.casefold()) for place, part in enumerate(parts)], name


def first_lines(lines: Sequence[str], most: int = 20) -> list[str]:
    return [*lines[:most], *([f"... and {len(lines) - most} more"] if len(lines) > most else [])]


def some_names(names: Sequence[str]) -> str:
    return ", ".join(first_lines(names, 10))
