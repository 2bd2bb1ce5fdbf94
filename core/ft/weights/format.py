"""Tells weight files from everything else by their content, without loading a tensor or torch."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from ft.errors import FtError
from ft.text.reading import open_plain

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".pth.tar")
"""What weight files are usually called. What a file is, its content says."""

_SAVE = "torch.save(model.state_dict(), 'new.pth')"
_OTHERS = {
    b"\x1f\x8b": "it is compressed (gzip); unpack it first",
    b"BZh": "it is compressed (bzip2); unpack it first",
    b"\xfd7zXZ": "it is compressed (xz); unpack it first",
    b"(\xb5/\xfd": "it is compressed (zstd); unpack it first",
    b"\x89HDF": "it is an HDF5 file, as Keras writes",
    b"\x93NUMPY": "it is a NumPy array",
    b"GGUF": "it is a GGUF file, for language models",
    b"version https://git-lfs": "it is a pointer of Git LFS; get the file itself with: git lfs pull",
}

Format = Literal["zip", "pickle", "safetensors"]


def format_of(path: Path, called: str = "") -> Format:
    """Return how a weight file is written: torch's zip or its older pickle, or safetensors.

    Raises FtError when it is neither, or visibly incomplete: a zip without its directory, a safetensors header that
    asks for other bytes than there are. A flipped bit does not show here; only a digest sees that. `called` is what the
    error calls the file, by default its path.
    """
    called = called or str(path)
    try:
        with open_plain(path) as file:
            start = file.read(64)
        names = _names_in(path) if start.startswith(b"PK") else None
    except OSError as error:
        raise FtError(f"cannot read {called}: {error.strerror or error}") from error
    except Exception as error:  # BadZipFile, or whatever zipfile raises over names and versions with flipped bits
        raise FtError(f"{called} is an incomplete or damaged .pth file: {error}") from error
    if names is not None:
        if program := _program_in(names):
            raise FtError(
                f"{called} is {program}, which holds code; ft reads tensors alone. Where it was made: {_SAVE}"
            )
        return "zip"
    if start.startswith(b"\x80"):
        return "pickle"
    if looks := other_than_weights(start):
        raise FtError(f"{called} is no weight file ({', '.join(WEIGHT_SUFFIXES)}): {looks}")
    _check_safetensors(path, called)
    return "safetensors"


def other_than_weights(start: bytes) -> str:
    """Say what a file looks like by how it begins; "" when it may be a weight file."""
    # A safetensors file has eight bytes that say how long its JSON header is, then the header.
    if start.startswith((b"PK", b"\x80")) or start[8:9] == b"{":
        return ""
    if known := next((what for mark, what in _OTHERS.items() if start.startswith(mark)), ""):
        return known
    page = start.lstrip().lower().startswith((b"<!doctype", b"<html"))
    return "it is a web page" if page else f"it begins with {start[:24]!r}" if start else "it is empty"


def _names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _program_in(names: list[str]) -> str:
    """What kind of program a zip of torch's is, by the names in it; "" for one of tensors."""
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        return "a TorchScript archive"
    return "an archive of torch.export" if "models/model.json" in inside else ""


def _check_safetensors(path: Path, called: str) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise FtError(f"{called} is no whole safetensors file: {error}") from error
