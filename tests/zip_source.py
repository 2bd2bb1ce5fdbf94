"""A data source for tests that finds its images in a zip archive.

It is written `tests/zip_source.py:load:ARCHIVE.zip`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from ft import FtError, Sample


def load(argument: str | None, settings: Any) -> Iterator[Sample]:
    """Yield the members of the archive `argument`, labelled by their folders. Raises FtError when it is not there."""
    if not argument or not Path(argument).is_file():
        raise FtError(f"there is no archive '{argument}'; write ./zip_source.py:load:ARCHIVE.zip")
    with ZipFile(argument) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
    for name in names:
        yield Sample(open=partial(member, argument, name), key=name, label=name.split("/")[0])


def member(archive: str, name: str) -> bytes:
    with ZipFile(archive) as file:
        return file.read(name)
