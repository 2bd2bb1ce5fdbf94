"""Finds the images that cannot be read before they can end a run, and what each of them holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Literal, TypeVar

import PIL

from ft.data.decoding import FORMATS, NOTHING, Facts, examine
from ft.data.image_failures import failure_of
from ft.data.known_files import Known, recall, remember, settled_state, state_of
from ft.data.load import ImageData, Item, first_lines, some_names, unmeasured
from ft.data.pictures import Content, Picture, content_digest
from ft.data.values import Values, objection_to_values
from ft.errors import FtError

S = TypeVar("S")
T = TypeVar("T")
CHUNK = 16
"""Images that a thread takes at a time."""
_STATES = 1024
"""Files that a thread asks the system about at a time."""


@dataclass(frozen=True)
class _Looked:
    """What a picture holds: its sha256, why it is no image, if it is none, the state by which its file is known again,
    and what is unusual about it."""

    digest: str
    reason: str | None = None
    state: str = ""
    facts: Facts = NOTHING


def check_images(
    data: ImageData,
    bad: Literal["fail", "skip"],
    progress: Callable[[int], object] | None = None,
    advice: str = "Mend them, or leave them out with --bad-images skip",
    ranged: bool = False,
) -> ImageData:
    """Decode every image once, on all cores; return the data that can be read, with the digests of its images.

    A file that has not changed since it was found readable is not opened, and a content that was found readable is not
    decoded again. `progress` is told how many of `data.items` are done. Unless a range of values is stated (`ranged`),
    pixels that need one cannot be read. Raises FtError listing the unreadable images when `bad` is "fail", and when
    leaving them out ("skip") would empty a class or the validation; and where the machine failed, not an image.
    """
    looked = _look_at([item.picture for item in data.items], data.source, progress)
    digests = {name: one.digest for name, one in looked.items()}
    facts = {name: one.facts for name, one in looked.items() if one.facts != NOTHING}
    objections = {name: objection_to_values(one.values, ranged) for name, one in facts.items() if one.values}
    found = {name: one.reason or objections.get(name) for name, one in looked.items()}
    reasons = {name: reason for name, reason in found.items() if reason is not None}
    data = replace(data, digests=digests, facts=facts)
    if not reasons:
        return data
    said = [f"{name}: {reason}" for name, reason in reasons.items()]
    listed = "\n".join(f"  {line}" for line in first_lines(said))
    count = f"{len(reasons)} of {len(data.items)} images"
    if bad == "fail":
        raise FtError(f"{count} cannot be read:\n{listed}\n{advice}")

    def readable(items: Sequence[Item]) -> tuple[Item, ...]:
        return tuple(item for item in items if item.picture.name not in reasons)

    kept = replace(data, train=readable(data.train), val=readable(data.val), test=readable(data.test))
    left = {item.label for item in kept.train}
    emptied = [name for label, name in enumerate(data.classes) if label not in left]
    if emptied:
        raise FtError(f"{count} cannot be read, which leaves no training image of {some_names(emptied)}:\n{listed}")
    if not kept.val:
        raise FtError(f"{count} cannot be read, which leaves none to validate with:\n{listed}")
    new = [warning for warning in unmeasured(kept) if warning not in data.warnings]
    return replace(kept, warnings=(*data.warnings, f"{count} cannot be read and are left out:\n{listed}", *new))


def digest_of(picture: Picture) -> str:
    """The sha256 of an image's content, or why it cannot be read. Raises FtError where the machine failed."""
    try:
        return picture.digest()
    except Exception as error:  # also what a data source raises that opens it
        return f"unreadable: {failure_of(error, picture.name)}"


def _look_at(pictures: Sequence[Picture], source: str, progress: Callable[[int], object] | None) -> dict[str, _Looked]:
    """Look at pictures, as far as it is not known what they hold, by their names; what was seen is remembered."""
    here = os.path.join(os.getcwd(), "")
    files = {one.name: one.name if one.path is None else _absolute(here, os.fspath(one.path)) for one in pictures}
    folders = {os.path.dirname(files[one.name]) for one in pictures if one.path is not None}
    place = os.path.commonpath(folders) if folders else source  # what is no file has its source in common
    reader = _reader()
    known = recall(place, reader)
    seen_before = {name: file for name, file in files.items() if known.states.get(file)}
    states = _spread(state_of, list(seen_before.values()), _STATES)
    looked = {
        name: _Looked(known.digests[file], facts=_facts(known, known.digests[file]))
        for (name, file), state in zip(seen_before.items(), states, strict=True)
        if state == known.states[file]
    }
    changed = [picture for picture in pictures if picture.name not in looked]
    readable = dict.fromkeys(known.digests.values(), NOTHING) if changed else {}
    readable.update((digest, _facts(known, digest)) for digest in known.facts)
    for picture, one in zip(changed, _spread(partial(_look, readable=readable), changed, CHUNK), strict=True):
        looked[picture.name] = one
        if progress is not None and (len(looked) % CHUNK == 0 or len(looked) == len(files)):
            progress(len(looked))
    seen = {files[one.name]: looked[one.name] for one in changed if looked[one.name].reason is None}
    if seen:
        now = known.having_seen(
            {file: (one.digest, one.state) for file, one in seen.items()},
            {one.digest: asdict(one.facts) for one in seen.values() if one.facts != NOTHING},
        )
        remember(place, reader, now, len(files))
    return {name: looked[name] for name in files}


def _absolute(here: str, path: str) -> str:
    return path if os.path.isabs(path) else os.path.join(here, path)


def _facts(known: Known, digest: str) -> Facts:
    told = known.facts.get(digest)
    if told is None:
        return NOTHING
    return Facts(Values(**told["values"]) if told["values"] else None, told["frames"])


def _look(picture: Picture, readable: Mapping[str, Facts]) -> _Looked:
    """Read a picture, and decode it unless its content is known to be `readable`, with the facts about it."""
    file = "" if picture.path is None else str(picture.path)
    state = settled_state(file)
    try:
        content = picture.read()
        digest = content_digest(content)
    except Exception as error:  # also what a data source raises that opens it
        fault = failure_of(error, picture.name)
        return _Looked(f"unreadable: {fault}", fault)
    reason, facts = (None, readable[digest]) if digest in readable else facts_of(picture, content)
    return _Looked(digest, reason, state if state == state_of(file) else "", facts)


def facts_of(picture: Picture, content: Content) -> tuple[str | None, Facts]:
    """Why `content`, which is that of the picture, cannot be decoded, or None, and what is unusual about it.

    Raises FtError where the machine failed, as for want of memory.
    """
    try:
        return None, examine(content)
    except Exception as error:  # whatever a decoder raises, the image is what is wrong
        return failure_of(error, picture.name), NOTHING


def _reader() -> str:
    """What decides whether an image can be read, and what is told of it, but for its content."""
    return hashlib.sha256("\n".join(["facts", PIL.__version__, *FORMATS]).encode()).hexdigest()[:16]


def _spread(work: Callable[[S], T], items: Sequence[S], size: int) -> Iterator[T]:
    """Do `work` for each item, on all cores, where a thread takes `size` at a time.

    Pillow decodes, hashlib digests, and the system answers, without the interpreter's lock.
    """
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    pool = ThreadPoolExecutor()
    try:
        for some in pool.map(lambda chunk: [work(item) for item in chunk], chunks):
            yield from some
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a stop does not wait for a disk that does not answer
