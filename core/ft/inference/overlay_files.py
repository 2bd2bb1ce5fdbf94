"""Where overlays are written: each to a file of its own, and none over what somebody else made."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ft.errors import FtError
from ft.machine.files import publish, sweep
from ft.text.counting import first_lines, number_of

_MADE_BY = ("Software", "ft explain")
"""The text in a PNG by which an overlay is known."""
_UNFIT = re.compile(r'[\x00-\x1f/\\:*?"<>|]')
_LONGEST = 100  # characters of the name of an output in a file's name
_LONGEST_FILE = 255 - len(".png") - 40  # bytes, of which a temporary name needs some


def overlay_paths(paths: Sequence[Path], out: Path, names: Sequence[str]) -> list[dict[Path, Path]]:
    """The file of each image's overlay in the folder `out`, for each name of an output, "" for the answer: NAME.png,
    or NAME.OUTPUT.png, in folders as those that images have below the one that they have in common.

    No two are one file, also where upper and lower case are the same. Raises FtError where a file is there that is no
    overlay, or is one of the images.
    """
    kept, taken = [], set[str]()
    inside = dict(zip(paths, _inside(paths), strict=True))
    twins = Counter(_folded(each.with_suffix("")) for each in inside.values())
    for name in names:
        made = {}
        for path, place in inside.items():
            stem = place.stem if twins[_folded(place.with_suffix(""))] == 1 else place.name
            wanted = f"{stem}.{_UNFIT.sub('_', name)[:_LONGEST]}" if name else stem
            file = next(each for each in _numbered(place.with_name(wanted)) if _folded(each) not in taken)
            taken.add(_folded(file))
            made[path] = out / file
        kept.append(made)
    given = {os.path.abspath(path) for path in paths}
    strangers = [
        path
        for some in kept
        for path in some.values()
        if path.exists() and (os.path.abspath(path) in given or not _is_overlay(path))
    ]
    if strangers:
        listed = "".join(f"\n  {path}" for path in first_lines([str(path) for path in strangers]))
        raise FtError(
            f"{number_of(len(strangers), 'overlay')} would be written over an image that was given, or a file that is "
            f"no overlay of ft's; give --out another folder:{listed}"
        )
    return kept


def write_overlay(overlay: Image.Image, path: Path) -> None:
    """Write an overlay as PNG, whole or not at all. Raises CannotWrite."""
    about = PngInfo()
    about.add_text(*_MADE_BY)
    sweep(path)
    with publish(path) as file:
        overlay.save(file, "PNG", pnginfo=about)


def _inside(paths: Sequence[Path]) -> list[Path]:
    """Paths below the folder that they have in common."""
    whole = [os.path.abspath(path) for path in paths]
    try:
        common = os.path.commonpath([os.path.dirname(path) for path in whole])
    except ValueError:  # on several drives
        return [Path(*Path(path).parts[1:]) for path in whole]
    return [Path(os.path.relpath(path, common)) for path in whole]


def _numbered(place: Path) -> Iterator[Path]:
    name = place.name
    while len(os.fsencode(name)) > _LONGEST_FILE:
        name = name[:-1]
    yield place.with_name(f"{name}.png")
    number = 2
    while True:
        yield place.with_name(f"{name}-{number}.png")
        number += 1


def _folded(path: Path) -> str:
    return str(path).casefold()


def _is_overlay(path: Path) -> bool:
    with suppress(OSError, ValueError, SyntaxError), Image.open(path, formats=["PNG"]) as image:
        return image.info.get(_MADE_BY[0]) == _MADE_BY[1]
    return False
