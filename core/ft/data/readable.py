"""Finds the images that cannot be read before they can end a run, and what each of them holds."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeVar

import PIL
from PIL import Image

from ft.data.decoding import FORMATS, NOTHING, Facts, decode_as_stored, to_rgb
from ft.data.image_failures import failure_of
from ft.data.known_files import Known, file_state, recall, remember, state_of
from ft.data.load import ImageData, Item, with_remarks
from ft.data.pictures import Content, Picture, content_digest
from ft.data.values import Values, needs_range, objection_to_values
from ft.errors import FtError
from ft.text.counting import first_lines, some_names

if TYPE_CHECKING:
    from torch import Tensor

    from ft.data.transforms import Transform

S = TypeVar("S")
T = TypeVar("T")
CHUNK = 16
"""Images that a thread takes at a time."""
MEND_OR_SKIP = "Mend them, or leave them out with --bad-images skip"
_STATES = 1024
"""Files that a thread asks the system about at a time."""


@dataclass(frozen=True)
class Passed:
    """An image that was decoded to be checked, as it is passed on: its digest, what is unusual about it, and its pixels
    [3, S, S] in uint8, dense in memory."""

    digest: str
    facts: Facts
    pixels: Tensor


@dataclass(frozen=True)
class Ahead:
    """Whoever wants the pixels of images that the check decodes, so that they need not be decoded again.

    `names` are those of their pictures, and `transform` makes the pixels; those of grey images with more than 8 bits
    only where `range_known`. A thread makes those of `at_once` images at a time. `accepts` says beforehand whether so
    many are wanted, and `keep` takes all that come, of which it keeps so many at most, and returns how many it kept.
    """

    names: Collection[str]
    transform: Transform
    range_known: bool
    at_once: int
    accepts: Callable[[int], bool]
    keep: Callable[[Iterator[Passed], int], int]


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a picture holds: its sha256, why it is no image, if it is none, the state by which its file is known again,
    what is unusual about it, and its pixels where somebody wants them."""

    digest: str
    reason: str | None = None
    state: str = ""
    facts: Facts = NOTHING
    pixels: Tensor | None = None


def check_images(
    data: ImageData,
    bad: Literal["fail", "skip"],
    progress: Callable[[int], object] | None = None,
    advice: str = MEND_OR_SKIP,
    ranged: bool = False,
    ahead: Ahead | None = None,
) -> ImageData:
    """Decode every image once, on all cores; return the data that can be read, with the digests of its images.

    A file that has not changed since it was found readable is not opened, and a content that was found readable is not
    decoded again. `progress` is told how many of `data.items` are done. Unless a range of values is stated (`ranged`),
    pixels that need one cannot be read. What is decoded goes to `ahead`, too. Raises FtError listing the unreadable
    images, with `advice`, when `bad` is "fail", and when leaving them out ("skip") would empty a class or the
    validation; and where the machine failed, not an image.
    """
    data, reasons = _looked_through(data, progress, ranged, ahead)
    if not reasons:
        return data
    count, listed = _counted(reasons, data)
    if bad == "fail":
        raise FtError(f"{count} cannot be read:\n{listed}\n{advice}")

    def readable(items: Sequence[Item]) -> tuple[Item, ...]:
        return tuple(item for item in items if item.picture.name not in reasons)

    kept = replace(data, train=readable(data.train), val=readable(data.val), test=readable(data.test))
    if lost := _lost(data, kept):
        raise FtError(f"{count} cannot be read, {lost}:\n{listed}")
    if not kept.val:
        raise FtError(f"{count} cannot be read, which leaves none to validate with:\n{listed}")
    left_out = f"{count} cannot be read and are left out:\n{listed}"
    return with_remarks(replace(kept, warnings=(*data.warnings, left_out)), before=data)


def _lost(data: ImageData, kept: ImageData) -> str:
    """What cannot be learnt from the images that are left, "" where all can."""
    if not kept.train:
        return "which leaves none to train on"
    try:
        before, left = (data.task.space([item.label for item in each.train]).names for each in (data, kept))
    except FtError as error:
        return f"and of those that are left {error}"
    lost = [name for name in before if name not in left]
    return f"which leaves no training image of {some_names(lost)}" if lost else ""


def check_measured(
    data: ImageData, bad: Literal["fail", "skip"], progress: Callable[[int], object] | None = None, ranged: bool = False
) -> ImageData:
    """The same of images that a finished model is measured on, which are `data.val`: any of them may be left out, but
    not all. Raises FtError as `check_images` does."""
    data, reasons = _looked_through(data, progress, ranged, None)
    if not reasons:
        return data
    count, listed = _counted(reasons, data)
    if bad == "fail":
        raise FtError(f"{count} cannot be read:\n{listed}\n{MEND_OR_SKIP}")
    kept = tuple(item for item in data.val if item.picture.name not in reasons)
    if not kept:
        raise FtError(f"{count} cannot be read, which leaves none to measure:\n{listed}")
    return replace(data, val=kept, warnings=(*data.warnings, f"{count} cannot be read and are left out:\n{listed}"))


def _looked_through(
    data: ImageData, progress: Callable[[int], object] | None, ranged: bool, ahead: Ahead | None
) -> tuple[ImageData, dict[str, str]]:
    """The data with what was seen of its images, and why those cannot be read that cannot, by name."""
    looked, passed = _look_at([item.picture for item in data.items], data.source, progress, ahead)
    digests = {name: one.digest for name, one in looked.items()}
    facts = {name: one.facts for name, one in looked.items() if one.facts != NOTHING}
    objections = {name: objection_to_values(one.values, ranged) for name, one in facts.items() if one.values}
    found = {name: one.reason or objections.get(name) for name, one in looked.items()}
    reasons = {name: reason for name, reason in found.items() if reason is not None}
    return replace(data, digests=digests, facts=facts, decoded=passed), reasons


def _counted(reasons: Mapping[str, str], data: ImageData) -> tuple[str, str]:
    """How many of how many images cannot be read, and the lines that name the first of them."""
    said = [f"{name}: {reason}" for name, reason in reasons.items()]
    listed = "\n".join(f"  {line}" for line in first_lines(said))
    return f"{len(reasons)} of {len(data.items)} images", listed


def _look_at(
    pictures: Sequence[Picture], source: str, progress: Callable[[int], object] | None, ahead: Ahead | None
) -> tuple[dict[str, _Looked], int]:
    """Look at pictures, as far as it is not known what they hold, by their names; what was seen is remembered. Then,
    how many were kept ahead."""
    here = os.path.join(os.getcwd(), "")
    files = {one.name: one.name if one.path is None else _absolute(here, os.fspath(one.path)) for one in pictures}
    folders = {os.path.dirname(files[one.name]) for one in pictures if one.path is not None}
    place = os.path.commonpath(folders) if folders else source  # what is no file has its source in common
    reader = _reader()
    known = recall(place, reader)
    seen_before = [one for one in pictures if known.states.get(files[one.name])]
    states = _spread(_state_now, seen_before, _STATES)
    looked = {
        one.name: _Looked(known.digests[files[one.name]], facts=_facts(known, known.digests[files[one.name]]))
        for one, state in zip(seen_before, states, strict=True)
        if state == known.states[files[one.name]]
    }
    changed = [picture for picture in pictures if picture.name not in looked]
    readable = dict.fromkeys(known.digests.values(), NOTHING) if changed else {}
    readable.update((digest, _facts(known, digest)) for digest in known.facts)
    # What is no file, or was just changed, is read again, and mostly found to be what it was.
    new = [one.name for one in changed if files[one.name] not in known.digests or known.states[files[one.name]]]
    wanted = 0 if ahead is None else sum(name in ahead.names for name in new)
    ahead = ahead if ahead is not None and wanted and ahead.accepts(wanted) else None
    look, size = partial(_look, readable=readable, ahead=ahead), CHUNK if ahead is None else ahead.at_once

    def passing() -> Iterator[Passed]:
        for picture, one in zip(changed, _spread(look, changed, size), strict=True):
            looked[picture.name] = one if one.pixels is None else replace(one, pixels=None)
            if progress is not None and (len(looked) % CHUNK == 0 or len(looked) == len(files)):
                progress(len(looked))
            if one.pixels is not None:
                yield Passed(one.digest, one.facts, one.pixels)

    passed = sum(1 for _ in passing()) if ahead is None else ahead.keep(passing(), wanted)
    seen = {files[one.name]: looked[one.name] for one in changed if looked[one.name].reason is None}
    if seen:
        now = known.having_seen(
            {file: (one.digest, one.state) for file, one in seen.items()},
            {one.digest: asdict(one.facts) for one in seen.values() if one.facts != NOTHING},
        )
        remember(place, reader, now, len(files))
    return {name: looked[name] for name in files}, passed


def _state_now(picture: Picture) -> str:
    return picture.state if picture.path is None else state_of(os.fspath(picture.path))


def _absolute(here: str, path: str) -> str:
    return path if os.path.isabs(path) else os.path.join(here, path)


def _facts(known: Known, digest: str) -> Facts:
    told = known.facts.get(digest)
    if told is None:
        return NOTHING
    return Facts(Values(**told["values"]) if told["values"] else None, told["frames"])


def _look(picture: Picture, readable: Mapping[str, Facts], ahead: Ahead | None) -> _Looked:
    """Read a picture, and decode it unless its content is known to be `readable`, with the facts about it."""
    state = picture.state if picture.path is None else file_state(os.fspath(picture.path))
    try:
        content = picture.read()
        digest = content_digest(content)
    except Exception as error:  # also what a data source raises that opens it
        fault = failure_of(error, picture.name)
        return _Looked(f"unreadable: {fault}", fault)
    state = state if state == _state_now(picture) else ""
    if digest in readable:
        return _Looked(digest, None, state, readable[digest])
    wanted = ahead if ahead is not None and picture.name in ahead.names else None
    reason, facts, pixels = examined(picture, content, wanted)
    return _Looked(digest, reason, state, facts, pixels)


def examined(picture: Picture, content: Content, ahead: Ahead | None = None) -> tuple[str | None, Facts, Tensor | None]:
    """Why `content`, which is that of the picture, cannot be decoded, or None, what is unusual about it, and its pixels
    where they are wanted `ahead`.

    Raises FtError where the machine failed, as for want of memory.
    """
    try:
        facts, image = decode_as_stored(content, least=1 if ahead is None else ahead.transform.least)
        if needs_range(facts.values) and not (ahead is not None and _in_range(facts, ahead)):
            return None, facts, None
        rgb = to_rgb(image, None if ahead is None else ahead.transform.value_range)
        return None, facts, None if ahead is None else _pixels(rgb, ahead.transform)
    except Exception as error:  # whatever a decoder raises, the image is what is wrong
        return failure_of(error, picture.name), NOTHING, None


def _pixels(rgb: Image.Image, transform: Transform) -> Tensor:
    """What the network sees of an image.

    Dense already here: whoever keeps them would have torch make them so on all cores, which decode just now, and wait
    for these, which takes longer than decoding does.
    """
    from ft.data.pixels import image_to_tensor  # the images of a model that another program computes need no torch

    return transform(image_to_tensor(rgb)).contiguous()


def _in_range(facts: Facts, ahead: Ahead) -> bool:
    """Whether the values of an image can be brought to 8 bits by now."""
    assert facts.values is not None
    return ahead.range_known and not objection_to_values(facts.values, ahead.transform.value_range is not None)


def _reader() -> str:
    """What decides whether an image can be read, and what is told of it, but for its content."""
    return hashlib.sha256("\n".join(["facts", PIL.__version__, *FORMATS]).encode()).hexdigest()[:16]


def _spread(work: Callable[[S], T], items: Sequence[S], size: int) -> Iterator[T]:
    """Do `work` for each item, on all cores, where a thread takes `size` at a time; what it gives comes in their order.

    Pillow decodes, hashlib digests, and the system answers, without the interpreter's lock. Threads are no more than
    two turns ahead of whoever takes what they give.
    """
    chunks = (items[start : start + size] for start in range(0, len(items), size))
    threads = min(32, (os.cpu_count() or 1) + 4)
    pool = ThreadPoolExecutor(threads)
    try:
        under_way = deque(pool.submit(_do_all, work, chunk) for chunk in islice(chunks, 2 * threads))
        while under_way:
            done = under_way.popleft().result()
            under_way.extend(pool.submit(_do_all, work, chunk) for chunk in islice(chunks, 1))
            yield from done
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a stop does not wait for a disk that does not answer


def _do_all(work: Callable[[S], T], items: Sequence[S]) -> list[T]:
    return [work(item) for item in items]
