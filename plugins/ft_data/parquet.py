"""parquet:PATTERN: tables with a column of encoded images, read a row group at a time."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

import ft
from ft import FtError, Remark, Sample, did_you_mean, number_of
from ft_data.shards import Shard, all_or_none, find_shards

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_IMAGES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "bytes", "image_bytes", "content")
_LABELS = ("label", "labels", "class", "class_name", "category", "target", "cls", "fine_label", "label_name")
LARGE = 64 * 10**6
_READING = threading.Lock()


class Settings(ft.Settings):
    image_column: str | None = Field(
        None, description="column with the encoded images; default: image, or the one of bytes with a name like it"
    )
    label_column: str | None = Field(
        None, description="column with the class; default: label, or the one called class, category, target"
    )
    classes: tuple[str, ...] = Field(
        (), description="names of classes that are given as numbers, from 0 on; default: those that the file has"
    )


@dataclass(frozen=True, slots=True)
class Row:
    """Reads the image of one row."""

    shard: Shard
    column: str
    group: int
    place: int

    def __call__(self) -> bytes:
        with _READING:  # many threads ask for the same row group at once
            self.shard.check_same(os.stat(self.shard.path))
            images = _images(self.shard, self.column, self.group)
        content = images[self.place].as_py()
        if not isinstance(content, bytes):
            raise ValueError("the row has no image")
        return content


@functools.lru_cache(maxsize=4)
def _images(shard: Shard, column: str, group: int) -> pa.ChunkedArray:
    table = _parquet().ParquetFile(shard.path, memory_map=True).read_row_group(group, columns=[column])
    images = table.column(0)
    return images.combine_chunks().field("bytes") if "." in column else images


def load(argument: str | None, settings: Settings, group: str | None = None) -> Iterator[Sample | Remark]:
    """Yield the images of the tables that a pattern names, with what the column `group` says of each. Raises FtError
    for a table that cannot be read, and for a row without a label."""
    parquet = _parquet()
    shards = all_or_none(find_shards(argument, "parquet", ".parquet"))
    count, largest = 0, 0
    for shard in shards:
        try:
            with parquet.ParquetFile(shard.path) as file:
                image, label = _image_column(shard, file.schema_arrow, settings), _label_column(shard, file, settings)
                names = settings.classes or _names_in(file.schema_arrow, label)
                if group is not None and group not in file.schema_arrow.names:
                    raise _no_column(shard, group, file.schema_arrow.names, "--split-group")
                rows = file.read(columns=[label, *([group] if group else [])])
                sizes = [file.metadata.row_group(each).num_rows for each in range(file.metadata.num_row_groups)]
                each = file.metadata.row_group
                largest = max([largest, *(each(number).total_byte_size for number in range(len(sizes)))])
        except (FtError, MemoryError):
            raise
        except Exception as error:  # whatever a damaged file makes of what reads it
            raise FtError(f"cannot read {shard.path}: {error}") from error
        groups = [None] * len(rows) if group is None else rows.column(group).to_pylist()
        labels = rows.column(label).to_pylist()
        digits, places = len(str(len(labels))), ((at, place) for at, size in enumerate(sizes) for place in range(size))
        for number, ((at, place), text, of) in enumerate(zip(places, labels, groups, strict=True)):
            key = f"{shard.name}:{number:0{digits}}"  # so that names are in the order of rows
            if group is not None and of is None:
                raise FtError(f"{key} has nothing in the column '{group}' to group by")
            count += 1
            yield Sample(
                None,
                _label(text, names, key, label),
                shard.split,
                Row(shard, image, at, place),
                key,
                None if of is None else str(of),
                shard.state,
            )
    yield Remark(f"{number_of(count, 'image')} in {number_of(len(shards), 'table')}, read a row group at a time")
    if largest > LARGE:
        yield Remark(
            f"row groups have up to {largest / 1e6:.0f} MB, which is read for one image where images come in random "
            "order; write them with row_group_size=100, or take webdataset: or hf:",
            warns=True,
        )


def _image_column(shard: Shard, schema: pa.Schema, settings: Settings) -> str:
    """The column with images, or the part of it that has their bytes."""
    import pyarrow as pa

    def bytes_in(name: str) -> str | None:
        kind = schema.field(name).type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return name
        fields = [kind.field(at).name for at in range(kind.num_fields)] if pa.types.is_struct(kind) else []
        return f"{name}.bytes" if "bytes" in fields else None

    asked = settings.image_column
    if asked is not None and asked not in schema.names:
        raise _no_column(shard, asked, schema.names, "--set data.image_column=NAME")
    possible = {name: found for name in schema.names if (found := bytes_in(name))}
    if asked is not None and asked not in possible:
        raise FtError(f"the column '{asked}' of {shard.path} is {schema.field(asked).type}, no encoded images")
    usual = asked or next((name for name in _IMAGES if name in possible), None)
    if usual is None and len(possible) == 1:
        (usual,) = possible
    if usual is None:
        has = ", ".join(possible) or "none"
        raise FtError(
            f"which column of {shard.path} has the images? Of bytes are: {has}. Say it with "
            "--set data.image_column=NAME"
        )
    return possible[usual]


def _label_column(shard: Shard, file: pq.ParquetFile, settings: Settings) -> str:
    names = file.schema_arrow.names
    found = settings.label_column or next((name for name in _LABELS if name in names), None)
    if found is None or found not in names:
        raise _no_column(shard, found or "label", names, "--set data.label_column=NAME")
    return found


def _no_column(shard: Shard, name: str, names: Sequence[str], how: str) -> FtError:
    has = ", ".join(names)
    return FtError(f"{shard.path} has no column '{name}', but {has}.{did_you_mean(name, names)} Say it with {how}")


def _names_in(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """The names of classes that Hugging Face's datasets writes beside a table."""
    said = (schema.metadata or {}).get(b"huggingface")
    try:
        feature = json.loads(said)["info"]["features"][label] if said else {}
        return tuple(feature["names"]) if feature.get("_type") == "ClassLabel" else ()
    except (ValueError, KeyError, TypeError):
        return ()


def _label(value: Any, names: Sequence[str], key: str, column: str) -> str:
    text = "" if value is None else str(value).strip()
    if not text:
        raise FtError(f"{key} has nothing in the column '{column}', which says the class")
    if not names or not isinstance(value, int):
        return text
    if not 0 <= value < len(names):
        raise FtError(f"{key} is of class {value}, and names are there for those from 0 to {len(names) - 1}")
    return names[value]


def _parquet() -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise FtError("parquet: needs pyarrow: pip install 'ftkit[parquet]'") from error
    return parquet
