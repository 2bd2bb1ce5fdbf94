"""Copies of images, sorted into folders by their answers; none is written over a file."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ft.data.pictures import Picture
from ft.errors import FtError
from ft.inference.prediction import Prediction
from ft.machine.files import explained, temporary_beside
from ft.text.file_names import folder_names

NONE = "(none)"
"""The folder of images whose answer names none."""


@dataclass
class SortedCopies:
    """Sorts copies of images into `folders`, by the names that their answers say; counts those that were made, and
    those that were there already, with the same content."""

    folders: Mapping[str, Path]
    made: int = 0
    found: int = 0

    @classmethod
    def into(cls, folder: Path, names: Sequence[str]) -> SortedCopies:
        """Sort into folders in `folder` that are called as the `names` of a label space, as far as they may be."""
        return cls({name: folder / safe for name, safe in folder_names([*names, NONE]).items()})

    def add(self, some: Sequence[Prediction]) -> None:
        """Copy each image that has an answer into its folders. Raises FtError where that cannot be."""
        for each in some:
            if each.answer is not None:
                with _as_file(each.picture) as image:
                    for name in each.answer.folders() or (NONE,):
                        if copy_into(image, self.folders[name]):
                            self.made += 1
                        else:
                            self.found += 1


@contextmanager
def _as_file(picture: Picture) -> Iterator[Path]:
    """The file of a picture; of one in an archive, a copy, called by the last part of its name alone."""
    if picture.path is not None:
        yield picture.path
        return
    with TemporaryDirectory() as folder:
        image = Path(folder, picture.name.rpartition("/")[2].rpartition(":")[2])
        content = picture.read()
        assert isinstance(content, bytes)
        with explained(image):
            image.write_bytes(content)
        yield image


def copy_into(image: Path, folder: Path) -> bool:
    """Copy a file into a folder under its own name, with its date; with a number behind it where a file of that name
    is there. False where an equal file is. The copy is there whole, or not at all. Raises FtError where that fails."""
    for target in _numbered(folder / image.name):
        with explained(target):
            if not os.path.lexists(target):
                folder.mkdir(parents=True, exist_ok=True)
                if _copy(image, target):
                    return True
            if target.is_file() and filecmp.cmp(image, target, shallow=False):
                return False
    raise FtError(f"there are very many files called {image.name} in {folder}; give --copy-to another folder")


def _copy(image: Path, target: Path) -> bool:
    """Copy to a name that is free; False where somebody else took it meanwhile."""
    temporary = temporary_beside(target.with_name("copy"))  # a name that is not too long, however long the target's is
    try:
        shutil.copy2(image, temporary)
        try:
            os.link(temporary, target)  # which, unlike a rename, never replaces what is there
        except FileExistsError:
            return False
        except OSError:  # a file system that knows no links
            if os.path.lexists(target):
                return False
            os.rename(temporary, target)
        return True
    finally:
        with suppress(OSError):
            temporary.unlink()


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in range(2, 10_000):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
