"""Finds the images that cannot be read before they can end a run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import PIL

from ft.data import ImageData, Item, first_lines, some_names, unmeasured
from ft.errors import FtError
from ft.files import cache_folder, publish_text
from ft.images import FORMATS, decode_image, describe_failure
from ft.pictures import Picture

T = TypeVar("T")
CHUNK = 16
"""Images that a thread takes at a time."""


def check_images(
    data: ImageData,
    bad: Literal["fail", "skip"],
    progress: Callable[[int], object] | None = None,
    advice: str = "Mend them, or leave them out with --bad-images skip",
) -> ImageData:
    """Decode every image once, on all cores; return the data that can be read, with the digests of its files.

    Files that were all found readable before, byte for byte, are not decoded again. `progress` is told how many of
    `data.items` are done. Raises FtError listing the unreadable images when `bad` is "fail", and when leaving them out
    ("skip") would empty a class or the validation.
    """
    pictures = [item.picture for item in data.items]
    names = [picture.name for picture in pictures]
    digests = dict(zip(names, _spread(digest_of, pictures, None), strict=True))
    marker = _marker(digests.values())
    if os.path.exists(marker):  # which a disk that does not answer has not
        return replace(data, digests=digests)
    failures = zip(names, _spread(_failure, pictures, progress), strict=True)
    reasons = {name: reason for name, reason in failures if reason is not None}
    if not reasons:
        with suppress(FtError):  # it only saves time, and a read-only home is common on clusters
            publish_text(marker, f"{len(names)} images, all readable\n")
        return replace(data, digests=digests)
    said = [f"{name}: {reason}" for name, reason in reasons.items()]
    listed = "\n".join(f"  {line}" for line in first_lines(said))
    count = f"{len(reasons)} of {len(data.items)} images"
    if bad == "fail":
        raise FtError(f"{count} cannot be read:\n{listed}\n{advice}")

    def readable(items: Sequence[Item]) -> tuple[Item, ...]:
        return tuple(item for item in items if item.picture.name not in reasons)

    kept = replace(data, train=readable(data.train), val=readable(data.val), test=readable(data.test), digests=digests)
    left = {item.label for item in kept.train}
    emptied = [name for label, name in enumerate(data.classes) if label not in left]
    if emptied:
        raise FtError(f"{count} cannot be read, which leaves no training image of {some_names(emptied)}:\n{listed}")
    if not kept.val:
        raise FtError(f"{count} cannot be read, which leaves none to validate with:\n{listed}")
    new = [warning for warning in unmeasured(kept) if warning not in data.warnings]
    return replace(kept, warnings=(*data.warnings, f"{count} cannot be read and are left out:\n{listed}", *new))


def digest_of(picture: Picture) -> str:
    """The sha256 of an image's content, or why it cannot be read."""
    try:
        return picture.digest()
    except Exception as error:  # also what a data source raises that opens it
        return f"unreadable: {describe_failure(error)}"


def _failure(picture: Picture) -> str | None:
    try:
        decode_image(picture.read())
    except Exception as error:  # whatever a decoder raises, the image is what is wrong
        return describe_failure(error)
    return None


def _marker(digests: Iterable[str]) -> Path:
    """A file that exists when images with these digests could all be read by this Pillow."""
    content = "\n".join([PIL.__version__, *FORMATS, *sorted(digests)])
    return cache_folder() / "readable" / hashlib.sha256(content.encode()).hexdigest()


def _spread(
    work: Callable[[Picture], T], pictures: Sequence[Picture], progress: Callable[[int], object] | None
) -> list[T]:
    """Do `work` for each picture, on all cores; Pillow decodes, and hashlib digests, without the interpreter's lock."""
    chunks = [pictures[start : start + CHUNK] for start in range(0, len(pictures), CHUNK)]
    pool = ThreadPoolExecutor()
    results: list[T] = []
    try:
        for some in pool.map(lambda chunk: [work(picture) for picture in chunk], chunks):
            results += some
            if progress is not None:
                progress(len(results))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a stop does not wait for a disk that does not answer
    return results
