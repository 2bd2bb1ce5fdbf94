"""folder:PATH: the name of the folder that an image lies in is its class."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

import ft
from ft import FtError, Sample

Split = Literal["train", "val", "test"]

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jp2"}
)
_SPLITS: dict[str, Split] = {
    "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip
_IF_CLASSES = ". If these folders are classes, say so with --set data.layout=classes"
_NOT_CLASSES = {"__macosx", "@eadir", "__pycache__"}  # what archives and file servers leave behind


class Settings(ft.Settings):
    layout: Literal["auto", "classes", "splits"] = Field(
        "auto",
        description="splits: PATH holds train/, val/ (or valid/, validation/) and test/; classes: it holds the class "
        "folders; auto: splits if a folder has one of those names",
    )


def load(argument: str | None, settings: Settings) -> Iterator[Sample]:
    """Yield the images under `argument`, the class folders in order of their names. Raises FtError."""
    if not argument:
        raise FtError("which folder? Write folder:PATH, as in folder:./photos")
    root = Path(os.path.expanduser(argument))
    if not root.is_dir():
        raise FtError(_no_folder(root))
    splits = _split_folders(root) if settings.layout != "classes" else {}
    if splits:
        for split, folder in splits.items():
            yield from _classes(folder, split)
    elif settings.layout == "splits":
        raise FtError(f"{root} has no train/ folder; it has {_listing(root)}")
    else:
        yield from _classes(root, None)


def _split_folders(root: Path) -> dict[Split, Path]:
    found: dict[Split, Path] = {}
    others = []
    for folder in _folders(root):
        split = _SPLITS.get(folder.name.lower())
        if split is None:
            others.append(folder)
        elif split in found:
            raise FtError(f"{root} has both {found[split].name}/ and {folder.name}/; keep one of them")
        else:
            found[split] = folder
    if not found:
        return {}
    if "train" not in found:
        names = " and ".join(f"{folder.name}/" for folder in found.values())
        raise FtError(f"{root} has {names} but no train/{_IF_CLASSES}")
    _no_loose_images(root)
    for folder in others:
        if any(_images(folder)):
            raise FtError(
                f"{root} has train/ and beside it {folder.name}/, which holds images but is none of train, val and "
                f"test; rename it or move it away{_IF_CLASSES}"
            )
    return found


def _classes(root: Path, split: Split | None) -> Iterator[Sample]:
    _no_loose_images(root)
    folders = _folders(root)
    if not folders:
        raise FtError(
            f"no images in {root}: looked for a folder for each class, holding {', '.join(sorted(SUFFIXES))} files; "
            f"it has {_listing(root)}"
        )
    empty = []
    for folder in folders:
        images = _images(folder)
        if not images:
            empty.append(folder)
        yield from (Sample(path, folder.name, split) for path in images)
    if empty and split in (None, "train"):  # elsewhere a class may be missing; ft says so and labels stay right
        listed = "\n".join(f"  {folder}{_contents(folder)}" for folder in empty)
        raise FtError(
            f"{len(empty)} class folders hold no images ({', '.join(sorted(SUFFIXES))}):\n{listed}\n"
            "Fill them or move them away"
        )


def _no_loose_images(root: Path) -> None:
    loose = [entry.name for entry in os.scandir(root) if not entry.is_dir() and _is_image(entry.name)]
    if loose:
        raise FtError(
            f"{len(loose)} images lie directly in {root}, such as {min(loose)}, so their class is unknown; move each "
            "into a folder named after its class, or list them in a table and use csv:FILE"
        )


def _folders(root: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in os.scandir(root) if entry.is_dir() and not _is_hidden(entry.name))


def _refuse(error: OSError) -> None:
    raise FtError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def _images(folder: Path) -> list[Path]:
    """Images in `folder` and the folders inside it, by path; links are followed, but never round in a circle."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, inner, files in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        inner[:] = [] if real in seen else [name for name in inner if not _is_hidden(name)]
        if real not in seen:
            seen.add(real)
            found += [Path(place, name) for name in files if _is_image(name)]
    return sorted(found)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _NOT_CLASSES


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def _contents(folder: Path) -> str:
    suffixes = Counter(Path(name).suffix.lower() for _, _, files in os.walk(folder) for name in files)
    kinds = ", ".join(f"{count} {suffix or 'nameless'}" for suffix, count in suffixes.most_common(3))
    return f" (has {kinds} files)" if kinds else ""


def _listing(root: Path) -> str:
    names = sorted(entry.name for entry in os.scandir(root))
    return (
        ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "nothing in it"
    )


def _no_folder(root: Path) -> str:
    if root.is_file():
        return f"{root} is a file, not a folder" + (f"; did you mean csv:{root}?" if root.suffix == ".csv" else "")
    above = next(parent for parent in root.absolute().parents if parent.is_dir())
    wanted = root.absolute().relative_to(above).parts[0]
    near = difflib.get_close_matches(wanted, [folder.name for folder in _folders(above)], n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else f"it has {_listing(above)}"
    return f"there is no folder {root}: {above} has no '{wanted}'; {hint}"
