"""Small data sets in files of many images each."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image


def encoded(number: int, kind: str = "PNG") -> bytes:
    """An image that is no other number's."""
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (number * 7 % 256, 200 if number % 2 else 20, 90)).save(file, kind)
    return file.getvalue()


def write_tar(path: Path, files: Mapping[str, bytes | str | dict[str, Any]]) -> Path:
    """Write an archive of files by name; what is no bytes is a text, or JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, given in files.items():
            text = json.dumps(given) if isinstance(given, dict) else given
            content = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_tars(folder: Path, count: int = 2, each: int = 6) -> list[Path]:
    """Archives of cats and dogs in turn."""
    paths = []
    for shard in range(count):
        files: dict[str, bytes | str | dict[str, Any]] = {}
        for number in range(shard * each, (shard + 1) * each):
            files[f"{number:03}.png"] = encoded(number)
            files[f"{number:03}.cls"] = ("cat", "dog")[number % 2]
        paths.append(write_tar(folder / f"part-{shard:02}.tar", files))
    return paths


def write_parquet(path: Path, labels: Sequence[Any], structs: bool = False, rows: int = 4, **columns: Any) -> Path:
    """A table of images, as bytes or as Hugging Face has them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images: list[Any] = [encoded(number) for number in range(len(labels))]
    if structs:
        images = [{"bytes": content, "path": None} for content in images]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": images, "label": labels, **columns}), path, row_group_size=rows)
    return path
