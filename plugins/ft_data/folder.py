"""folder:PATH: the name of the folder that an image lies in is its class."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

import ft
from ft import FtError, Remark, Sample, image_format, number_of, readable_formats, what_reads
from ft_data.layout import check_no_loose_images, find_layout
from ft_data.listing import Files, files_in, folders_in, listing, some
from ft_data.splits import Split


class Settings(ft.Settings):
    layout: Literal["auto", "classes", "splits"] = Field(
        "auto",
        description="splits: PATH holds train/, val/ and test/, or names like them; classes: it holds the class "
        "folders; auto: splits if a folder has such a name",
    )


def load(argument: str | None, settings: Settings) -> Iterator[Sample | Remark]:
    """Yield the images under `argument`, the class folders in order of their names. Raises FtError."""
    if not argument:
        raise FtError("which folder? Write folder:PATH, as in folder:./photos")
    root = Path(os.path.expanduser(argument))
    if not os.path.isdir(root):
        raise FtError(_no_folder(root))
    layout = find_layout(root, settings.layout)
    yield from layout.remarks
    others: list[Path] = []
    for split, folder in layout.splits.items():
        files = {each: files_in(each) for each in _class_folders(folder)}
        _check_filled(files, split)
        for each, found in files.items():
            others += found.others
            yield from (Sample(path, each.name, split) for path in found.images)
        yield from _same_inside(files, folder)
    yield from _left_out(others)


def _class_folders(root: Path) -> list[Path]:
    check_no_loose_images(root)
    folders = folders_in(root)
    if not folders:
        raise FtError(
            f"no images in {root}: looked for a folder for each class, holding {', '.join(readable_formats())} files; "
            f"it has {listing(root)}"
        )
    return folders


def _check_filled(files: Mapping[Path, Files], split: Split | None) -> None:
    """Raise FtError for class folders without images; but for train, a class may be missing, and ft says so."""
    empty = [folder for folder, found in files.items() if not found.images]
    if empty and split in (None, "train"):
        folders = number_of(len(empty), "class folder holds", "class folders hold")
        listed = "\n".join(f"  {folder}{_contents(files[folder].others)}" for folder in empty)
        raise FtError(f"{folders} no images ({', '.join(readable_formats())}):\n{listed}\nFill them or move them away")


def _same_inside(files: Mapping[Path, Files], root: Path) -> Iterator[Remark]:
    """Warn where all class folders hold folders of the same names: the classes may lie one level deeper."""
    inner = [_inner_folders(folder, found.images) for folder, found in files.items()]
    common = sorted(set.intersection(*inner)) if len(inner) > 1 else []
    if len(common) > 1:
        yield Remark(
            f"every class folder in {root} holds the same folders, {some(common)}; their images are taken for "
            f"{some([folder.name for folder in files])}. Are the inner ones the classes, or splits, or masks?",
            warns=True,
        )


def _inner_folders(folder: Path, images: Sequence[Path]) -> set[str]:
    """The names of the folders in `folder` that hold images, however deep."""
    around = {os.path.dirname(image) for image in images}
    return {Path(each).relative_to(folder).parts[0] for each in around if Path(each) != folder}


def _left_out(others: Sequence[Path]) -> Iterator[Remark]:
    if others:
        kinds = _kinds(others)
        said = ", ".join(f"{len(paths)} {name}" for name, paths in kinds.items())
        no_image = "which is no image" if len(others) == 1 else "which are no images"
        example = next(iter(kinds.values()))[0]
        yield Remark(
            f"{number_of(len(others), 'file')} left out, {no_image} that can be read: {said}, as {example}",
            warns=any(name.endswith(")") for name in kinds),
        )


def _contents(others: Sequence[Path]) -> str:
    said = ", ".join(f"{len(paths)} {name}" for name, paths in list(_kinds(others).items())[:3])
    return f" (has {said} files)" if said else ""


def _kinds(others: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by suffix, the most frequent first, with what they are and what reads them if they look like images."""
    found: dict[str, list[Path]] = {}
    for path in others:
        found.setdefault(path.suffix.lower() or "without suffix", []).append(path)
    ordered = sorted(found.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return {name + _what(paths[0]): paths for name, paths in ordered}


def _what(path: Path) -> str:
    try:
        name = image_format(path)
    except OSError:
        return ""
    return f" ({name}{f': {what_reads(name)} reads it' if what_reads(name) else ''})" if name else ""


def _no_folder(root: Path) -> str:
    if os.path.isfile(root):
        return f"{root} is a file, not a folder" + (f"; did you mean csv:{root}?" if root.suffix == ".csv" else "")
    above = next(parent for parent in root.absolute().parents if os.path.isdir(parent))
    wanted = root.absolute().relative_to(above).parts[0]
    near = difflib.get_close_matches(wanted, [folder.name for folder in folders_in(above)], n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else f"it has {listing(above)}"
    return f"there is no folder {root}: {above} has no '{wanted}'; {hint}"
