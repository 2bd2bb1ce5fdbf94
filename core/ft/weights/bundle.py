"""Bundles: weight files and what they are in one zip archive, to be carried to a machine without a network.

`manifest.json` names each file with its size and SHA-256; the files lie under `weights/`, stored as they are. The same
files always make the same bytes. Nothing is unpacked by a name that the archive chooses: a reader asks for a file.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ft.errors import FtError
from ft.machine.files import publish
from ft.text.documents import parse_json
from ft.text.reading import open_plain

FORMAT = 1
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 1_000_000
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Bundled:
    """A file of a bundle: `file` is its plain name, `model` and `entry` say whose weights it holds."""

    file: str
    size: int
    sha256: str
    model: str
    entry: str


def write_bundle(out: Path, files: Mapping[Bundled, Path]) -> None:
    """Write a bundle of these files, whole or not at all. Raises FtError, as for a full disk."""
    ordered = sorted(files, key=lambda item: item.file)
    manifest = {"format": FORMAT, "weights": [asdict(item) for item in ordered]}
    needed = sum(item.size for item in ordered)
    with publish(out, size=needed) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member(_MANIFEST), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        for item in ordered:
            member = _member(f"weights/{item.file}")
            member.file_size = item.size
            with open_plain(files[item]) as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, _CHUNK)


def read_manifest(path: Path) -> dict[str, Bundled]:
    """Return what a bundle holds, by file name. Raises FtError for a file that is no bundle."""
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            if archive.getinfo(_MANIFEST).file_size > _LARGEST_MANIFEST:
                raise FtError(f"the manifest of {path} is larger than any that ft writes")
            content = parse_json(archive.read(_MANIFEST).decode())
        if content["format"] != FORMAT:
            raise FtError(f"{path} is a bundle of format {content['format']}; this ft reads {FORMAT}")
        return {item.file: item for item in map(_item, content["weights"])}
    except FtError:
        raise
    except Exception as error:  # what zipfile and json raise depends on where an archive is broken
        raise FtError(f"{path} is no bundle of weights (ft weights bundle makes them): {_reason(error)}") from error


def copy_out(path: Path, item: Bundled, target: BinaryIO) -> None:
    """Copy one file of a bundle into `target`, never more than its size. Raises FtError; the digest is not checked."""
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive, archive.open(f"weights/{item.file}") as source:
            left = item.size
            while chunk := source.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise FtError(f"{path} holds more than the {item.size} bytes of {item.file}")
                target.write(chunk)
    except (FtError, OSError):
        raise
    except Exception as error:
        raise FtError(f"{item.file} cannot be read from the bundle {path}: {_reason(error)}") from error
    if left:
        raise FtError(f"{path} holds {item.size - left} bytes of {item.file}, which has {item.size}")


def _item(content: Any) -> Bundled:
    item = Bundled(**content)
    texts = (item.file, item.sha256, item.model, item.entry)
    if not isinstance(item.size, int) or item.size < 0 or not all(isinstance(each, str) for each in texts):
        raise TypeError(f"{content!r} describes no file")
    if not re.fullmatch(r"[0-9a-f]{64}", item.sha256):
        raise ValueError(f"'{item.sha256}' is no SHA-256")
    return item


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    member.create_system, member.external_attr = 3, 0o644 << 16
    return member


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
