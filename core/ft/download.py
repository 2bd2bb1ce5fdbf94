"""Fetching one URL into one file: whole, checked and published, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests

from ft._version import __version__
from ft.errors import FtError
from ft.files import megabytes, publish

CHUNK = 128 * 1024
TIMEOUTS = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""
PAUSES = (0.5, 1.0, 2.0)
"""Seconds to wait after each failure that may pass by itself, before the next try."""
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PASSING_ERRORS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True)
class Transfer:
    """How far a download is: bytes `done` of `total` (None when the server does not say), bytes a second."""

    file_name: str
    done: int
    total: int | None
    rate: float

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at this rate; None when that cannot be said."""
        return (self.total - self.done) / self.rate if self.total is not None and self.rate > 0 else None


Progress = Callable[[Transfer], None]
"""Called at the start, after each piece and at the end of a download."""


def ignore(transfer: Transfer) -> None:
    """Show no progress."""


class NotThere(FtError):
    """The server answers that it has nothing under this URL (404 or 410)."""


class _Passing(Exception):
    """A failure that may pass by itself, so another try makes sense."""


def download(
    url: str,
    path: Path,
    check: Callable[[Path], None],
    progress: Progress = ignore,
    pauses: tuple[float, ...] = PAUSES,
) -> None:
    """Fetch `url` and publish it as `path` once `check` accepts what arrived.

    Connection failures, short bodies and answers such as 503 are tried again after each of `pauses` (seconds). Raises
    NotThere, or FtError for everything else that went wrong; `path` then keeps its old content.
    """
    for pause in (*pauses, None):
        try:
            _fetch(url, path, check, progress)
            return
        except _Passing as error:
            if pause is None:
                raise FtError(f"{url}: {error} (tried {len(pauses) + 1} times)") from error
            time.sleep(pause)


def _fetch(url: str, path: Path, check: Callable[[Path], None], progress: Progress) -> None:
    # A transparently compressed body would be neither the bytes that were hashed nor as long as announced.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"ft/{__version__}"}
    try:
        with requests.get(url, stream=True, timeout=TIMEOUTS, headers=headers) as response:
            total = _accept(response)
            with publish(path, size=total, check=check) as file:
                _receive(response, file, Transfer(path.name, 0, total, 0.0), progress)
    except requests.exceptions.SSLError as error:
        raise FtError(f"{url}: no trusted connection: {_reason(error)}") from error
    except _PASSING_ERRORS as error:
        raise _Passing(_reason(error)) from error
    except requests.RequestException as error:
        raise FtError(f"{url}: {_reason(error)}") from error


def _accept(response: requests.Response) -> int | None:
    """Return how many bytes the body will have, if announced. Raises for every answer that is not the plain file."""
    status = f"HTTP {response.status_code} {response.reason}"
    if response.status_code in _PASSING_STATUS:
        raise _Passing(status)
    if response.status_code in (404, 410):
        raise NotThere(f"{response.url}: {status}")
    if response.status_code != 200:
        raise FtError(f"{response.url}: {status}")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise FtError(f"{response.url}: the server sent the file {encoding}-encoded, which was not asked for")
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and "Transfer-Encoding" not in response.headers else None


def _receive(response: requests.Response, file: BinaryIO, transfer: Transfer, progress: Progress) -> None:
    start, done, total = time.monotonic(), 0, transfer.total
    progress(transfer)
    for chunk in response.iter_content(CHUNK):
        file.write(chunk)
        done += len(chunk)
        progress(Transfer(transfer.file_name, done, total, done / max(time.monotonic() - start, 1e-6)))
    if total is not None and done != total:  # older urllib3 takes the end of a connection for the end of the body
        raise _Passing(f"the connection ended after {megabytes(done)} of {megabytes(total)}")


def _reason(error: requests.RequestException) -> str:
    """The cause inside the layers that requests and urllib3 wrap around it."""
    inner: BaseException = error
    while deeper := [e for e in (getattr(inner, "reason", None), *inner.args) if isinstance(e, BaseException)]:
        inner = deeper[0]
    return str(inner).rpartition("): ")[2] or type(inner).__name__
