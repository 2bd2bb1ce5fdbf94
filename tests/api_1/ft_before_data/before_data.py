"""`before-data:FOLDER`: images whose file names begin with their class, as in cat_001.jpg."""

import os
from collections.abc import Iterator
from pathlib import Path

import ft
from ft import FtError, Sample
from pydantic import Field

SUFFIXES = {".jpg", ".jpeg", ".png"}


class Settings(ft.Settings):
    separator: str = Field("_", min_length=1, description="what stands between the class and the rest of the name")


def load(argument: str | None, settings: Settings) -> Iterator[Sample]:
    """Yield the images in FOLDER, in the order of their names; none is opened. Raises FtError when there are none.

    ft numbers the classes and chooses what validates; a source that knows better gives each Sample its `split`.
    """
    if not argument:
        raise FtError("before-data needs a folder, as in before-data:./photos")
    folder = Path(os.path.expanduser(argument))
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FtError(f"there are no images ({', '.join(sorted(SUFFIXES))}) in {folder.absolute()}")
    for path in paths:
        label, found, _ = path.stem.partition(settings.separator)
        if not found or not label:
            raise FtError(f"{path.name} does not begin with a class and '{settings.separator}'")
        yield Sample(path, label)
