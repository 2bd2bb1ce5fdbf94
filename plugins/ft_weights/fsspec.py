"""`fsspec:URL`, `s3:BUCKET/KEY`, `gs:BUCKET/KEY`: a file, or a folder of published files, on anything fsspec reads."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ft import FtError, Settings, WeightCache, WeightEntry
from ft_weights.suffixes import SUFFIXES

_CHUNK = 1024 * 1024
_ELSEWHERE = {"file": "local:PATH", "local": "local:PATH", "http": "mirror:BASE_URL", "https": "mirror:BASE_URL"}


def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the file at URL, or the entry's own file in the folder at URL.

    A file that is named (it ends in .pth, .ckpt, .safetensors or the like) may be the user's own work, so it need not
    be the published one; one that is found in a folder must be. Raises FtError.
    """
    protocol, separator, rest = (argument or "").partition("://")
    if not separator or not protocol or not rest:
        raise FtError("write the whole URL, as in fsspec:s3://bucket/weights or fsspec:memory://net.pth")
    if protocol in _ELSEWHERE:
        raise FtError(f"fsspec is for other places than {protocol}://; write {_ELSEWHERE[protocol]}")
    if not rest.endswith(SUFFIXES):
        url = f"{protocol}://{rest.rstrip('/')}/{entry.file_name}"
        return cache.store(entry, url, _writer(url))
    url = f"{protocol}://{rest}"
    if cache.offline:
        raise FtError(f"{cache.offline}, so nothing is fetched from {protocol}:; keep a copy for local:PATH")
    return cache.store(_own(entry, url), url, _writer(url))


def fetch_s3(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the object BUCKET/KEY, or the entry's own file below it, as fsspec: does. Raises FtError."""
    return fetch(entry, _bucket("s3", argument), settings, cache)


def fetch_gs(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the object BUCKET/KEY, or the entry's own file below it, as fsspec: does. Raises FtError."""
    return fetch(entry, _bucket("gs", argument), settings, cache)


def _bucket(protocol: str, argument: str | None) -> str:
    path = (argument or "").lstrip("/")
    if not re.fullmatch(r"[\w.-]+(/.*)?", path) or path.startswith("."):
        raise FtError(
            f"write the bucket and what is in it, as in {protocol}:bucket/weights or {protocol}:bucket/net.pth"
        )
    return f"{protocol}://{path}"


def _own(entry: WeightEntry, url: str) -> WeightEntry:
    """An entry for a file of the user's, whose name in the cache changes when the file at `url` does."""
    system, path = _open_system(url)
    version = _asked(lambda: str(system.ukey(path)))
    name = re.sub(r"[^\w.-]+", "-", path.rpartition("/")[2])
    key = hashlib.sha256(f"{url} {version}".encode()).hexdigest()[:12]
    return dataclasses.replace(entry, name=name, file_name=f"{key}.{name}", sha256="", size=None)


def _writer(url: str) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        system, path = _open_system(url)

        def copy() -> None:
            with system.open(path, "rb") as source:
                shutil.copyfileobj(source, file, _CHUNK)

        _asked(copy)

    return write


def _open_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise FtError("fsspec: needs the package fsspec; get it with: pip install 'ftkit[fsspec]'") from error
    protocol = url.partition("://")[0]
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        extra = protocol if protocol in ("s3", "gs") else ""
        command = f"pip install 'ftkit[{extra}]'" if extra else str(error)
        raise FtError(f"{protocol}: needs a package that is not installed; get it with: {command}") from error
    except ValueError as error:
        raise FtError(f"fsspec does not know {protocol}://: {error}") from error
    return system, str(path)


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except FtError:
        raise
    except FileNotFoundError as error:
        raise FtError(f"there is no {error.args[-1] if error.args else 'such file'}") from error
    except Exception as error:  # each kind of storage has a library with exceptions of its own
        raise FtError(f"it cannot be read: {type(error).__name__}: {error}") from error
