"""What an exporter says where a library is missing."""

from __future__ import annotations

from importlib.util import find_spec

from ft import FtError


def need(extra: str, *libraries: str) -> None:
    """Raise FtError unless all `libraries` are installed, which the extra brings. None is imported."""
    missing = [library for library in libraries if find_spec(library) is None]
    if missing:
        raise FtError(f"{extra} takes {', '.join(missing)}, which is not installed: pip install 'ftkit[{extra}]'")
