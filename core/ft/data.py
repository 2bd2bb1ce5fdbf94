"""What a run learns from: labelled images, their classes, and which of them train, validate and test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from ft.config import ComponentConfig, Config
from ft.errors import FtError, did_you_mean
from ft.extensions import Sample
from ft.pictures import Picture, objection_to, picture_of
from ft.plugins import Component, Plugins, implementation, read_settings
from ft.redaction import check_whole, shown, what_is_left_out
from ft.references import Reference, parse_reference
from ft.splits import Split, choose_splits, describe_splits, portable, unused_shares


@dataclass(frozen=True)
class Item:
    """One image, and the index of its class."""

    picture: Picture
    label: int


@dataclass(frozen=True)
class ImageData:
    """All images of a run, in an order that is the same on every machine.

    `classes` are those of the training images, sorted; an item's label is an index into them. `notes` say what ft
    chose, `warnings` what the user may not have meant. `digests` are the sha256 of the images' content by their
    pictures' names, once they are checked.
    """

    classes: tuple[str, ...]
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]
    source: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def items(self) -> tuple[Item, ...]:
        return (*self.train, *self.val, *self.test)


def load_data(config: Config, plugins: Plugins) -> ImageData:
    """Ask the data source for its images, split what has no split, and number the classes. Opens no image.

    Raises FtError when there are no images, fewer than two classes, or a class that no training image has.
    """
    samples, source, warnings = read_samples(config.data, plugins)
    splits = choose_splits(samples, config.split)
    classes = tuple(sorted({s.label for key, s in samples.items() if splits[key] == "train"}, key=_natural))
    _check_classes(classes, samples, splits, source)
    numbers = {name: number for number, name in enumerate(classes)}

    def part(wanted: Split) -> tuple[Item, ...]:
        return tuple(Item(picture_of(s), numbers[s.label]) for key, s in samples.items() if splits[key] == wanted)

    notes = describe_splits(samples, splits, config.split)
    data = ImageData(classes, part("train"), part("val"), part("test"), source, notes)
    return replace(data, warnings=(*warnings, *unused_shares(samples, config.split), *unmeasured(data)))


def read_samples(data: ComponentConfig, plugins: Plugins) -> tuple[dict[str, Sample], str, list[str]]:
    """Return a data source's samples by their path relative to what they have in common, its reference, and warnings.

    Raises FtError when there are none.
    """
    check_whole(data.use)
    reference = data_reference(data.use, plugins)
    source = shown(str(reference))
    component = plugins.get("data", reference)
    settings = read_settings(component, data.settings, "data")
    found = implementation(component, "load")(reference.argument, settings)
    samples, warnings = _keyed(found, component, source)
    return samples, source, [*what_is_left_out(data.use), *warnings]


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


def data_reference(text: str, plugins: Plugins) -> Reference:
    """Read `text` as a reference: an installed source's as it is, a folder as folder:PATH, a .csv file as csv:PATH.

    An installed source goes before a path of the same name (which `./name` still reaches). Raises FtError for a name
    that is neither.
    """
    name, colon, _ = text.partition(":")
    if plugins.has("data", name):
        return parse_reference(text)
    path = Path(os.path.expanduser(text))
    if path.is_dir():
        return Reference("folder", text)
    if path.is_file() and path.suffix.lower() == ".csv":
        return Reference("csv", text)
    if path.is_file():
        raise FtError(f"{text} is neither a folder of images nor a .csv file")
    if colon:
        return parse_reference(text)
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    nowhere = f"there is no folder or file {path.absolute()}.{did_you_mean(path.name, beside)}"
    if path.name != text:
        raise FtError(nowhere)
    reference = Reference(text)
    try:
        plugins.get("data", reference)  # it knows what is installed, and what could not be loaded
    except FtError as error:
        raise FtError(f"{error}\nTaken as a path: {nowhere}") from None
    return reference


def _keyed(found: Iterable[Any], component: Component, source: str) -> tuple[dict[str, Sample], list[str]]:
    """Return the samples by their key, or their path relative to what they have in common, in that order, each once."""
    who = f"data source '{component.name}' of {component.distribution} {component.version}"
    samples = []
    for sample in found:
        if not isinstance(sample, Sample) or not isinstance(sample.label, str) or not sample.label:
            raise FtError(f"{who} yielded {sample!r:.200}; it yields ft.Sample(path, label) with a name as label")
        if objection := objection_to(sample):
            raise FtError(f"{who} yielded a sample of '{sample.label}' with {objection}")
        samples.append(replace(sample, label=portable(sample.label)))
    if not samples:
        raise FtError(f"there are no images in '{source}'")
    keyed: dict[str, Sample] = {}
    repeated = 0
    for key, sample in _with_keys(samples):
        other = keyed.setdefault(key, sample)
        if other is sample:
            continue
        if sample.open is not None or other.open is not None:
            raise FtError(f"{who} yielded two images with the key '{key}'; a key is of one image")
        if (other.label, other.split) != (sample.label, sample.split):
            raise FtError(
                f"{sample.path} is in '{source}' twice: as {_role(other)} and as {_role(sample)}; an image has one "
                "class and belongs to one split"
            )
        repeated += 1
    warnings = [f"{repeated} images are listed more than once and count once"] if repeated else []
    return dict(sorted(keyed.items(), key=lambda entry: portable(entry[0]))), warnings


def _with_keys(samples: Sequence[Sample]) -> Iterator[tuple[str, Sample]]:
    paths = [None if sample.path is None else os.path.abspath(sample.path) for sample in samples]
    folders = [os.path.dirname(path) for path in paths if path is not None]
    root = os.path.commonpath(folders) if folders else ""
    for path, sample in zip(paths, samples, strict=True):
        yield sample.key if path is None else PurePath(path).relative_to(root).as_posix(), sample


def _role(sample: Sample) -> str:
    return f"'{sample.label}'" + (f" in {sample.split}" if sample.split else "")


def _check_classes(
    classes: Sequence[str], samples: Mapping[str, Sample], splits: Mapping[str, Split], source: str
) -> None:
    if not classes:
        raise FtError(f"there are no training images in '{source}', only {' and '.join(sorted(set(splits.values())))}")
    for key, sample in samples.items():
        if sample.label not in classes:
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


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts 'class 10' after 'class 9'."""
    parts = re.split(r"([0-9]+)", name)  # text and numbers take turns
    return [int(part) if place % 2 else part.casefold() for place, part in enumerate(parts)], name


def first_lines(lines: Sequence[str], most: int = 20) -> list[str]:
    return [*lines[:most], *([f"... and {len(lines) - most} more"] if len(lines) > most else [])]


def some_names(names: Sequence[str]) -> str:
    return ", ".join(first_lines(names, 10))
