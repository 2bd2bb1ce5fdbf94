"""hf:NAME: a data set of the Hugging Face hub, or one in a folder, through Hugging Face's `datasets`.

It keeps images in files of the Arrow format, of which a row is read by its number, so they are drawn in any order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

import ft
from ft import DataCache, FtError, Remark, Sample, did_you_mean, file_state, number_of
from ft_data.splits import Split, split_of


class Settings(ft.Settings):
    config: str | None = Field(None, description="which of several configurations of the data set")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")
    image_column: str | None = Field(None, description="column with the images; default: the one that has images")
    label_column: str | None = Field(None, description="column with the class; default: label, or the one of classes")


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """Reads the image of one row: its bytes as they were encoded, or the file that it names."""

    rows: Any
    number: int

    def __call__(self) -> object:
        (value,) = self.rows[self.number].values()
        if not isinstance(value, Mapping):
            return value
        if value.get("bytes") is not None:
            return value["bytes"]
        if value.get("path"):
            return Path(value["path"])
        raise ValueError("the row has no image")


def load(argument: str | None, settings: Settings, cache: DataCache, group: str | None = None) -> Iterator[Any]:
    """Yield the images of a data set, with what the column `group` says of each. Raises FtError where it cannot be
    had, and for a row without a label."""
    if not argument:
        raise FtError("which data set? Write hf:OWNER/NAME, or hf:./folder")
    parts = _parts(argument, settings, cache)
    splits = {name: split_of(name) for name in parts}
    known = None not in splits.values() and "train" in splits.values() and len(parts) > 1
    if not known and len(parts) > 1:
        left = [name for name, split in splits.items() if split is None]
        yield Remark(f"all splits are taken together, since '{(left or list(parts))[0]}' is none that ft knows")
    count = 0
    for name, rows in parts.items():
        for sample in _samples(name, rows, splits[name] if known else None, settings, group):
            count += 1
            yield sample
    yield Remark(f"{number_of(count, 'image')} in {number_of(len(parts), 'split')} of {argument}")


def _samples(name: str, rows: Any, split: Split | None, settings: Settings, group: str | None) -> Iterator[Sample]:
    datasets = _datasets()
    features = rows.features
    image = settings.image_column or next((key for key, of in features.items() if _is(of, datasets.Image)), "image")
    usual = next((key for key, of in features.items() if _is(of, datasets.ClassLabel)), "label")
    label = settings.label_column or ("label" if "label" in features else usual)
    for column, how in ((image, "data.image_column"), (label, "data.label_column"), (group, "split.group")):
        if column is not None and column not in features:
            has = ", ".join(features)
            raise FtError(
                f"the data set has no column '{column}', but {has}.{did_you_mean(column, list(features))} Say it with "
                f"--set {how}=NAME"
            )
    names = features[label].names if _is(features[label], datasets.ClassLabel) else None
    labels = list(rows.select_columns(label)[label])
    groups = [None] * len(labels) if group is None else list(rows.select_columns(group)[group])
    images = rows.select_columns(image)
    if _is(features[image], datasets.Image):
        images = images.cast_column(image, datasets.Image(decode=False))
    state, digits = _state(rows), len(str(len(labels)))
    for number, (value, of) in enumerate(zip(labels, groups, strict=True)):
        key = f"{name}:{number:0{digits}}"  # so that names are in the order of rows
        if value is None or str(value).strip() == "" or (names is not None and value < 0):
            raise FtError(f"{key} has no class in the column '{label}'")
        if group is not None and of is None:
            raise FtError(f"{key} has nothing in the column '{group}' to group by")
        text = str(value) if names is None else names[value]
        yield Sample(None, text, split, Row(images, number), key, None if of is None else str(of), state)


def _state(rows: Any) -> str:
    """By what the rows are known to be unchanged: by the files that they lie in."""
    states = [file_state(file["filename"]) for file in rows.cache_files]
    return " ".join(states) if states and all(states) else ""


def _is(feature: Any, kind: type) -> bool:
    return isinstance(feature, kind)


def _parts(argument: str, settings: Settings, cache: DataCache) -> dict[str, Any]:
    """The splits of a data set, by name."""
    datasets = _datasets()
    folder = os.path.expanduser(argument)
    if argument.startswith((".", "/", "~")) and not os.path.isdir(folder):
        raise FtError(f"there is no folder {folder}, seen from {os.getcwd()}")
    if not os.path.isdir(folder) and cache.offline:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    quiet = datasets.utils.logging
    before = quiet.get_verbosity()
    quiet.set_verbosity_error()
    try:
        if os.path.isdir(folder) and any(
            os.path.exists(os.path.join(folder, each)) for each in ("dataset_dict.json", "dataset_info.json")
        ):
            found = datasets.load_from_disk(folder)
        else:
            found = datasets.load_dataset(
                folder if os.path.isdir(folder) else argument, settings.config, revision=settings.revision
            )
    except (FtError, MemoryError):
        raise
    except Exception as error:  # whatever the hub, the network and a stranger's files make of what reads them
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise FtError(f"cannot load the data set {argument}: {lines[0]}") from error
    finally:
        quiet.set_verbosity(before)
    return dict(found) if isinstance(found, dict) else {str(found.split or "all"): found}


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise FtError("hf: needs Hugging Face's datasets: pip install 'ftkit[datasets]'") from error
    return datasets
