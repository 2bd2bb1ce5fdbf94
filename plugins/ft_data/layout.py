"""Where in a folder the class folders lie: directly in it, or in the folders of its splits."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

from ft import FtError, Remark, number_of
from ft_data.listing import files_in, folders_in, listing, loose_images, some
from ft_data.splits import Split, says_nothing, split_of

_IF_CLASSES = ". If these folders are classes, say so with --set data.layout=classes"


@dataclass(frozen=True)
class Layout:
    """The folders whose folders are classes, by their split, and what is to be said of the others."""

    splits: dict[Split | None, Path]
    remarks: list[Remark] = field(default_factory=list)


def find_layout(root: Path, wanted: str) -> Layout:
    """Return where the class folders in `root` are; `wanted` is auto, classes or splits.

    Raises FtError where that cannot be told, and where images would lie outside all class folders.
    """
    splits = _split_folders(root) if wanted != "classes" else {}
    if not splits:
        if wanted == "splits":
            raise FtError(f"{root} has no train/ folder; it has {listing(root)}")
        if wanted == "auto":
            _check_not_outside(root)
        return Layout({None: root})
    check_no_loose_images(root)
    layout = Layout({})
    for split, folder in splits.items():
        inside = _innermost(folder, folder.name)
        if split == "test" and _is_unlabelled(inside):
            layout.remarks.append(_without_classes(folder))
            continue
        check_no_loose_images(inside, _IF_CLASSES)
        if inside != folder or folder.name.casefold() != split:
            layout.remarks.append(Remark(f"{split} images are those in {inside}"))
        layout.splits[split] = inside
    for folder in folders_in(root):
        if split_of(folder.name) is None and files_in(folder).images:
            if not _is_unlabelled(_innermost(folder, folder.name)):
                raise FtError(
                    f"{root} has {splits['train'].name}/ and beside it {folder.name}/, which holds images but is none "
                    f"of train, val and test; rename it or move it away{_IF_CLASSES}"
                )
            layout.remarks.append(replace(_without_classes(folder), warns=True))
    return layout


def _split_folders(root: Path) -> dict[Split, Path]:
    found: dict[Split, Path] = {}
    for folder in folders_in(root):
        split = split_of(folder.name)
        if split is not None and split in found:
            raise FtError(f"{root} has both {found[split].name}/ and {folder.name}/; keep one of them{_IF_CLASSES}")
        if split is not None:
            found[split] = folder
    if found and "train" not in found:
        names = " and ".join(f"{folder.name}/" for folder in found.values())
        raise FtError(f"{root} has {names} but no train/{_IF_CLASSES}")
    return found


def _innermost(folder: Path, name: str) -> Path:
    """The folder that holds a split's class folders: `folder`, or all that it holds, as train/train or train/images.

    `name` is that of the outermost.
    """
    inner = folders_in(folder)
    if len(inner) != 1 or loose_images(folder):
        return folder
    within = inner[0].name
    repeats = within.casefold() == name.casefold() or split_of(within) == split_of(name) is not None
    return _innermost(inner[0], name) if repeats or says_nothing(within) else folder


def _is_unlabelled(folder: Path) -> bool:
    return bool(loose_images(folder)) and not any(files_in(each).images for each in folders_in(folder))


def _without_classes(folder: Path) -> Remark:
    count = len(files_in(folder).images)
    images = "its one image is" if count == 1 else f"its {count} images are"
    return Remark(f"{folder} is left out: {images} in no class folders")


def _check_not_outside(root: Path) -> None:
    """Raise FtError where the one folder in `root` is no class, but holds the class folders or splits."""
    inside, folders = root, folders_in(root)
    while len(folders) == 1 and not loose_images(inside):
        inside, folders = folders[0], folders_in(folders[0])
    if inside == root or len(folders) < 2 or loose_images(inside):
        return
    if any(files_in(folder).images for folder in folders):
        raise FtError(
            f"{root} holds one folder, and the folders {some([folder.name for folder in folders])} are in {inside}; "
            f"if these are the classes, or the splits, give --data {shlex.quote(str(inside))}"
        )


def check_no_loose_images(root: Path, hint: str = "") -> None:
    """Raise FtError where images lie directly in `root`, and so in no class."""
    if loose := loose_images(root):
        images = number_of(len(loose), "image lies", "images lie")
        raise FtError(
            f"{images} directly in {root}, such as {min(loose)}, so their class is unknown; move each "
            f"into a folder named after its class, or list them in a table and use csv:FILE{hint}"
        )
