"""Which images a command line asks for: files, folders, patterns, and paths on standard input."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ft.data.image_files import is_image
from ft.errors import FtError

STDIN = "-"
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")


def image_paths(given: Sequence[str], read_stdin: Callable[[], bytes] = lambda: b"") -> list[Path]:
    """Return the images that are asked for, in the order in which they are named.

    A file is taken as it is, of a folder the images in it, hidden ones left out. What is neither and has a *, ? or [ is
    a pattern, `**` any folders: the images that match it, and those in folders that do, each once. "-" is what
    `read_stdin` returns: paths, one a line, or with a NUL behind each; one that leads nowhere is kept, since whoever
    made that list is not there to mend it, and cannot be read later. Raises FtError for what is not there, for nothing
    at all, and for an address.
    """
    found: list[Path] = []
    for each in given:
        if each == STDIN:
            found += _listed(read_stdin())
        else:
            found += _named(each)
    return found


def _named(text: str) -> list[Path]:
    path = image_path(text)
    if path.is_dir():
        return _inside(path)
    if path.exists():
        return [path]
    if not glob.has_magic(text):
        raise FtError(f"there is no image {text}")
    matching = [Path(each) for each in sorted(glob.glob(text, recursive=True))]
    images = dict.fromkeys(image for each in matching for image in _matched(each))
    if not images:
        raise FtError(f"no image matches '{text}'")
    return list(images)


def _matched(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(_images_in(path))
    return [path] if is_image(path) else []


def _listed(content: bytes) -> list[Path]:
    lines = content.split(b"\0") if b"\0" in content else [line.removesuffix(b"\r") for line in content.split(b"\n")]
    paths = [image_path(os.fsdecode(line)) for line in lines if line]
    if not paths:
        raise FtError("standard input names no image; give one path a line, as in: find photos -name '*.jpg' | ft ...")
    return [image for path in paths for image in (_inside(path) if path.is_dir() else [path])]


def image_path(text: str) -> Path:
    """The path that `text` is. Raises FtError for an address, which a path would make another of."""
    if address := _ADDRESS.match(text):
        instead = "give its path without file://" if address["scheme"].lower() == "file" else "fetch it first"
        raise FtError(f"'{text}' is an address, and images are files on this machine; {instead}, then name the file")
    if not text:
        raise FtError("an image has no name: write a file, a folder, a pattern, or - for paths on standard input")
    return Path(text)


def _inside(folder: Path) -> list[Path]:
    images = sorted(_images_in(folder))
    if not images:
        raise FtError(f"there are no images in {folder}")
    return images


def _images_in(folder: Path) -> Iterator[Path]:
    waiting = [folder]  # not rglob, which calls itself for each level
    while waiting:
        try:
            entries = list(waiting.pop().iterdir())
        except OSError as error:
            raise FtError(f"cannot read the folder {error.filename}: {error.strerror}") from error
        for path in entries:
            if path.name.startswith("."):
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            elif is_image(path):
                yield path
