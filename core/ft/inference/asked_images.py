"""Which images a command line asks for: files, folders, patterns, archives, tables, and paths on standard input."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ft.data.archives import is_archive, pictures_in
from ft.data.image_files import is_image
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.inference.asked_table import is_table, paths_in

STDIN = "-"
Members = Callable[[Path], Mapping[str, Picture]]
"""The images in an archive, by their names."""
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")


def asked_pictures(given: Sequence[str], read_stdin: Callable[[], bytes] = lambda: b"") -> list[Picture]:
    """Return the images that are asked for, in the order in which they are named, as often as they are.

    A file is taken as it is, of a folder the images in it, hidden ones left out; of a tar archive the images in it, and
    of a table those that its column of paths names. What is none of these and has a *, ? or [ is a pattern, `**` any
    folders: the images, archives and tables that match it, and images in folders that do, each once. "-" is what
    `read_stdin` returns: paths, one a line, or with a NUL behind each. One of such a list or of a table that leads
    nowhere is kept, since whoever made that is not there to mend it, and cannot be read later. Raises FtError for what
    is not there, for nothing at all, and for an address.
    """
    listed: Members = functools.cache(lambda archive: {each.name: each for each in pictures_in(archive)})
    found: list[Picture] = []
    for each in given:
        if each == STDIN:
            found += _listed(read_stdin(), listed)
        else:
            found += _named(each, listed)
    return found


def image_paths(given: Sequence[str], read_stdin: Callable[[], bytes] = lambda: b"") -> list[Path]:
    """The files of the same images. Raises FtError for one in an archive, too."""
    pictures = asked_pictures(given, read_stdin)
    if packed := next((each for each in pictures if each.path is None), None):
        raise FtError(f"{packed.name} is in an archive, out of which only ft predict takes images; unpack it first")
    return [each.path for each in pictures if each.path is not None]


def _named(text: str, listed: Members) -> list[Picture]:
    path = image_path(text)
    if path.is_dir():
        return _inside(path)
    if path.exists():
        return _in_table(path, listed) if is_table(path) else _in_file(path)
    if member := _member(text, listed):
        return [member]
    if not glob.has_magic(text):
        raise FtError(f"there is no image {text}")
    matching = [Path(each) for each in sorted(glob.glob(text, recursive=True))]
    pictures = {image.name: image for each in matching for image in _matched(each, listed)}
    if not pictures:
        raise FtError(f"no image matches '{text}'")
    return list(pictures.values())


def _matched(path: Path, listed: Members) -> list[Picture]:
    if path.is_dir():
        return [Picture.at(image) for image in sorted(_images_in(path))]
    if is_table(path):
        return _in_table(path, listed)
    return _in_file(path) if is_archive(path) or is_image(path) else []


def _in_file(path: Path) -> list[Picture]:
    """The images in an archive, or the one that a file is."""
    if not is_archive(path):
        return [Picture.at(path)]
    pictures = pictures_in(path)
    if not pictures:
        raise FtError(f"there are no images in {path}")
    return pictures


def _in_table(table: Path, listed: Members) -> list[Picture]:
    pictures = [_meant(text, listed) for text in paths_in(table)]
    if not pictures:
        raise FtError(f"there are no images in {table}: it has no line below its header")
    return pictures


def _meant(text: str, listed: Members) -> Picture:
    """The image that somebody's list names."""
    path = Path(text)
    return Picture.at(path) if path.exists() else _member(text, listed) or Picture.at(path)


def _member(text: str, listed: Members) -> Picture | None:
    """The image in an archive that `ARCHIVE:MEMBER` names, as ft calls it."""
    for place in (found.end() for found in re.finditer(r"[^:]+(?=:)", text)):
        archive = Path(text[:place])
        if is_archive(archive) and archive.is_file():
            return listed(archive).get(f"{archive}{text[place:]}")
    return None


def _listed(content: bytes, listed: Members) -> list[Picture]:
    lines = content.split(b"\0") if b"\0" in content else [line.removesuffix(b"\r") for line in content.split(b"\n")]
    texts = [os.fsdecode(line) for line in lines if line]
    if not texts:
        raise FtError("standard input names no image; give one path a line, as in: find photos -name '*.jpg' | ft ...")
    found: list[Picture] = []
    for text in texts:
        path = image_path(text)
        if path.is_dir():
            found += _inside(path)
        elif is_archive(path) and path.is_file():
            found += _in_file(path)
        else:
            found.append(_meant(text, listed))
    return found


def image_path(text: str) -> Path:
    """The path that `text` is. Raises FtError for an address, which a path would make another of."""
    if address := _ADDRESS.match(text):
        instead = "give its path without file://" if address["scheme"].lower() == "file" else "fetch it first"
        raise FtError(f"'{text}' is an address, and images are files on this machine; {instead}, then name the file")
    if not text:
        raise FtError("an image has no name: write a file, a folder, a pattern, or - for paths on standard input")
    return Path(text)


def _inside(folder: Path) -> list[Picture]:
    images = sorted(_images_in(folder))
    if not images:
        raise FtError(f"there are no images in {folder}")
    return [Picture.at(image) for image in images]


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
