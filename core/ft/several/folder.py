"""The folder of several runs that were put together."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ft.data.image_list import ListedImage, write_earlier, write_listed
from ft.machine.files import publish
from ft.several.members import Member

COPIED = ("config.yaml", "plan.json", "versions.json", "metrics.jsonl")
"""What the folder of an average has of the best run."""
OF_A_MEMBER = (
    *COPIED,
    *("images.csv", "earlier.csv", "report.json", "outputs.safetensors", "familiar.safetensors"),
    *("model.json", "model.safetensors"),
)
"""What it takes to use a run, and to know how it came about."""


def copy_files(run: Path, folder: Path, names: Iterable[str]) -> None:
    """Copy files of a run, as far as it has them, each whole."""
    for name in names:
        if (run / name).is_file():
            with (run / name).open("rb") as file, publish(folder / name, size=(run / name).stat().st_size) as copy:
                shutil.copyfileobj(file, copy)


def write_together(folder: Path, members: Sequence[Member], images: Mapping[str, Sequence[ListedImage]]) -> None:
    """Publish the images of all runs, in the parts in which they are for all together, and those of the runs before."""
    listed = [replace(image, split=split) for split, every in images.items() for image in every]
    write_listed(folder / "images.csv", listed)
    there = {image.digest for image in listed}
    before: dict[str, set[str]] = {}
    for member in members:
        for digest, parts in member.splits.items():
            if digest not in there:
                before.setdefault(digest, set()).update(parts)
    if before:
        write_earlier(folder, before)
