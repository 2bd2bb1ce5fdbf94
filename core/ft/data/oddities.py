"""What is odd about a folder of images, found in one pass over its files: what would stop a run, and what may be meant.

Nothing is repaired: in particular Pillow is never told to load truncated images.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ft.config.loading import load_config
from ft.data.decoding import NOTHING, Facts, examine, open_image
from ft.data.image_failures import failure_of
from ft.data.load import load_data
from ft.data.pictures import Content, Picture, content_digest, picture_of, turn_of
from ft.data.samples import read_samples
from ft.data.value_range import strange_values
from ft.data.values import objection_to_values
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Sample
from ft.extension.tasks import label_text
from ft.machine.display import Display
from ft.task.chosen import choose_task

# What can be found in a file: whether it stops a run, and what becomes of it.
KINDS: Mapping[str, tuple[bool, str]] = {
    "unreadable": (True, "cannot be decoded"),
    "truncated": (True, "ends too early"),
    "too large": (True, "more pixels than Pillow decodes, as decompression bombs have"),
    "large": (False, "decoded, with a warning from Pillow"),
    "misnamed": (False, "read as what it is, not as what its name says"),
    "turned": (False, "turned upright, as its EXIF orientation says"),
    "values": (False, "most levels of grey get lost; see below"),
    "16-bit": (False, "brought to 8 bits"),
    "several frames": (False, "the first one is used"),
    "CMYK": (False, "converted to RGB"),
    "transparent": (False, "put on white"),
    "in two splits": (False, "the same bytes train and measure; figures come out too good"),
    "two labels": (False, "the same bytes are labelled differently"),
    "duplicate": (False, "the same bytes twice with one label"),
    "as it is read": (False, "layout, names, and what is left out"),
    "refused": (True, "a run could not start"),
    "labels": (False, "what a run would warn of"),
}


@dataclass(frozen=True)
class Finding:
    """Something about one file, several that are alike, or the labels. `stops` says that a run would not start.

    `paths` names the images: the paths of files, and the keys of what is no file.
    """

    kind: str
    paths: tuple[str, ...]
    detail: str

    @property
    def stops(self) -> bool:
        return KINDS[self.kind][0]


@dataclass(frozen=True)
class Checked:
    """A data source as it was found. `classes` are the names of the label space, where there is one, and `noun` is what
    one and several of them are called."""

    source: str
    images: int
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]
    noun: tuple[str, str] = ("label", "labels")


def check_data(
    data: str, plugins: Plugins, display: Display, sets: Sequence[str] = (), task: str | None = None
) -> Checked:
    """Read every image of a data source once, on all cores, and say what is odd; also of its labels, for a `task`.

    `sets` are settings of data, task and split, and images.range, as for a run. Raises FtError when the source itself
    cannot be read, as a folder without images, and for a task that there is not.
    """
    if others := [text for text in sets if not text.startswith(("data.", "task", "split.", "images.range="))]:
        raise FtError(
            f"--set {others[0]} changes nothing here; there may be settings of data, task and split, as data.layout, "
            "and images.range"
        )
    config = load_config(None, sets, {"backbone": "any", "data": data, **({} if task is None else {"task": task})})
    choose_task(config.task, plugins)
    source = read_samples(config.data, plugins, config.split.group)
    samples = source.samples
    digests: dict[str, str] = {}
    facts: dict[str, Facts] = {}
    findings = [Finding("as it is read", (), text) for text in (*source.notes, *source.warnings)]
    pictures = {key: picture_of(sample) for key, sample in samples.items()}
    pool = ThreadPoolExecutor()
    with warnings.catch_warnings(), display.progress("reading images", len(pictures), unit="images") as bar:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is reported as a finding
        try:
            look = partial(_examine, ranged=config.images.range is not None)
            for key, (digest, seen, found) in zip(samples, pool.map(look, pictures.values()), strict=True):
                digests[key] = digest
                facts[pictures[key].name] = seen
                findings += found
                bar.advance(len(digests))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # so that Ctrl-C does not wait for files
    strange = strange_values(facts, config.images.range is not None, config.images.value_range)
    findings += [Finding("values", (), text) for text in strange]
    noun = ("label", "labels")
    names = tuple(sorted({label_text(sample.label) for sample in samples.values()}))
    splits: dict[str, str] = {pictures[key].name: sample.split or "" for key, sample in samples.items()}
    try:
        loaded = load_data(config, plugins)
    except FtError as error:
        findings.append(Finding("refused", (), str(error)))
    else:
        names, noun = loaded.space.names, loaded.task.record.noun
        splits |= {item.picture.name: split for split, items in loaded.parts.items() for item in items}
        findings += [Finding("labels", (), text) for text in loaded.warnings if text not in source.warnings]
    findings += _duplicates(samples, splits, digests)
    order = list(KINDS)
    findings.sort(key=lambda finding: (order.index(finding.kind), finding.paths))
    return Checked(source.source, len(samples), names, tuple(findings), noun)


def _examine(picture: Picture, ranged: bool) -> tuple[str, Facts, list[Finding]]:
    """The digest of an image, "" if it cannot be read, its values and frames, and what is odd about it."""
    try:
        content = picture.read()
    except Exception as error:  # also what a data source raises that opens it
        return "", NOTHING, [Finding("unreadable", (picture.name,), failure_of(error, picture.name))]
    facts, odd = NOTHING, []
    for each in _oddities(picture, content, ranged):
        if isinstance(each, Facts):
            facts = each
        else:
            odd.append(Finding(each[0], (picture.name,), each[1]))
    return content_digest(content), facts, odd


def _oddities(picture: Picture, content: Content, ranged: bool) -> Iterator[tuple[str, str] | Facts]:
    try:
        with nullcontext(content) if isinstance(content, Image.Image) else open_image(content) as image:
            if picture.path is not None:
                yield from _misnaming(picture.path, image)
            yield from _header_oddities(image)
        facts = examine(content)
        yield facts
        yield from _value_oddities(facts, ranged)
    except Image.DecompressionBombError as error:
        yield "too large", str(error)
    except UnidentifiedImageError as error:
        yield "unreadable", "the file is empty" if not content else failure_of(error, picture.name)
    except Exception as error:  # whatever a decoder raises, the image is what is wrong
        reason = failure_of(error, picture.name)
        yield ("truncated" if "truncated" in reason.lower() else "unreadable"), reason


def _misnaming(path: Path, image: Image.Image) -> Iterator[tuple[str, str]]:
    named = Image.registered_extensions().get(path.suffix.lower())
    if path.suffix and _plain(named) != _plain(image.format):
        yield "misnamed", f"{image.format} named {path.suffix}"


def _header_oddities(image: Image.Image) -> Iterator[tuple[str, str]]:
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
        yield "large", f"{image.width} x {image.height} pixels"
    if image.mode == "CMYK":
        yield "CMYK", image.mode
    if image.has_transparency_data:
        yield "transparent", image.mode
    if (turn := turn_of(image)) is not None:
        yield "turned", turn.name.lower().replace("_", " ")


def _value_oddities(facts: Facts, ranged: bool) -> Iterator[tuple[str, str]]:
    if facts.frames > 1:
        yield "several frames", f"{facts.frames}"
    if facts.values is not None:
        if objection := objection_to_values(facts.values, ranged):
            yield "unreadable", objection
        else:
            kind = "" if facts.values.kind == "integer" else f"{facts.values.kind}, "
            yield "16-bit", f"{kind}{facts.values.lowest:g} to {facts.values.highest:g}"


def _plain(name: str | None) -> str | None:
    """A format's name, where a camera's JPEG that holds a preview besides is a JPEG."""
    return "JPEG" if name == "MPO" else name


def _duplicates(
    samples: Mapping[str, Sample], splits: Mapping[str, str], digests: Mapping[str, str]
) -> Iterator[Finding]:
    alike: dict[str, list[str]] = {}
    for key, digest in digests.items():
        if digest:
            alike.setdefault(digest, []).append(key)
    for keys in alike.values():
        if len(keys) < 2:
            continue
        paths = tuple(picture_of(samples[key]).name for key in keys)
        among = list(dict.fromkeys(splits.get(path, "") for path in paths))
        labels = list(dict.fromkeys(label_text(samples[key].label) for key in keys))
        if len(labels) > 1:
            yield Finding("two labels", paths, " and ".join(labels))
        if len(among) > 1:
            yield Finding("in two splits", paths, " and ".join(among))
        if len(labels) == len(among) == 1:
            yield Finding("duplicate", paths, f"{len(keys)} times in {labels[0]}")


def stopping(findings: Sequence[Finding], skipped: bool = False) -> int:
    """How many of the findings would stop a run; one that leaves out what it cannot read where such are `skipped`."""
    return sum(finding.stops and not (skipped and finding.paths) for finding in findings)
