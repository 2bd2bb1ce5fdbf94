"""Fetching one URL into one file: whole, checked and published, or not at all, however often it has to be begun."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from ft.errors import FtError
from ft.machine.files import megabytes, put_in_place, sweep
from ft.machine.signals import StopAsked
from ft.machine.transfer import Progress, Transfer
from ft.text.redaction import shown
from ft.weights.http import NETWORK_ERRORS, TIMEOUT_VARIABLE, Passing, explain, http_timeout, open_url
from ft.weights.partial import Partial, take_up

CHUNK = 128 * 1024
PROGRESS = 64 * 1024
"""So many new bytes make a fetch one that goes on; fewer in the whole of $FT_HTTP_TIMEOUT make it one that does not."""
MOST = 64 * 10**9
"""Bytes that no weight file exceeds."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait, give or take a quarter, after each failure in a row that may pass by itself."""


def ignore(transfer: Transfer) -> None:
    """Show no progress."""


def note_nothing(text: str) -> None:
    """Keep no notes."""


@dataclass(frozen=True)
class Wanted:
    """One file: its URL, its exact `size` in bytes, if known, the `most` it can have, and whether whoever checks it has
    its digest, and so would see a wrong byte."""

    url: str
    size: int | None = None
    most: int = MOST
    has_digest: bool = True


def download(
    wanted: Wanted,
    path: Path,
    check: Callable[[Path], None],
    progress: Progress = ignore,
    pauses: tuple[float, ...] = PAUSES,
    note: Callable[[str], None] = note_nothing,
) -> None:
    """Fetch what is `wanted` and publish it as `path` once `check` accepts what arrived.

    Failures that may pass are tried again after each of `pauses` (seconds), or when the server says; bytes that arrive
    make that budget new. What has arrived is gone on with (RFC 9110, sections 13.1.5 and 14), also by a later process
    if `check` would see a wrong byte. Nothing longer than $FT_HTTP_TIMEOUT passes without progress. Raises NotThere
    when the server does not know the URL and FtError for everything else that went wrong; `path` then keeps its old
    content.
    """
    partial = take_up(path, hashlib.sha256(shown(wanted.url).encode()).hexdigest(), keep=wanted.has_digest)
    fetch = _Fetch(wanted, partial, progress, pauses, note, http_timeout(), partial.done)
    try:
        while True:
            inherited = partial.done > 0
            try:
                fetch.attempt()
                written = partial.finish()
                try:
                    put_in_place(written, path, check)
                except FtError as error:
                    alone = written.exists() and not inherited
                    partial.discard()
                    if alone:
                        raise
                    # A byte of what an earlier try left was wrong, or the file was taken away: begin anew.
                    raise Passing(str(error)) from error
                partial.published()
                sweep(path)
                return
            except Passing as error:
                fetch.wait_after(error)
    except StopAsked as asked:
        kept = f", of which {megabytes(partial.done)} are kept for the next try" if partial.lasting else ""
        asked.add_note(f"while fetching {path.name}{kept}")
        raise
    finally:
        partial.leave()


@dataclass
class _Fetch:
    """The tries to get one URL, and how long they have led nowhere."""

    wanted: Wanted
    partial: Partial
    progress: Progress
    pauses: tuple[float, ...]
    note: Callable[[str], None]
    timeout: float
    furthest: int
    failures: int = 0
    tries: int = 0

    def __post_init__(self) -> None:
        self.start = self.since = time.monotonic()
        self.inherited = self.partial.done

    def attempt(self) -> None:
        """Get the rest of the file, if any is missing. Raises Passing, NotThere and FtError."""
        partial = self.partial
        self.tries += 1
        if not partial.validator:
            partial.discard()
        if partial.done and partial.done == partial.total:
            return
        headers = {"Range": f"bytes={partial.done}-", "If-Range": partial.validator} if partial.done else {}
        try:
            response, final = open_url(self.wanted.url, headers, self.timeout / 3, self.note)
            with response:
                if response.status_code == 206 and partial.done:
                    _check_range(response, partial)
                else:
                    self._begin(response, final)
                self._receive(response)
        except NETWORK_ERRORS as error:
            raise Passing(explain(error)) from error
        if partial.total is not None and partial.done != partial.total:
            ended = f"the connection ended after {megabytes(partial.done)} of {megabytes(partial.total)}"
            raise Passing(ended)

    def wait_after(self, error: Passing) -> None:
        """Wait before the next try. Raises FtError when there should be none."""
        if self.failures >= len(self.pauses):
            raise FtError(f"{shown(self.wanted.url)}: {error} (tried {self.tries} times)") from error
        pause = self.pauses[self.failures] * random.uniform(0.75, 1.25)
        self.failures += 1
        left = self.timeout - (time.monotonic() - self.since)
        if error.wait is not None and error.wait > left:
            raise FtError(
                f"{shown(self.wanted.url)}: {error}; the server says to come back in {error.wait:.0f} s"
            ) from error
        if pause > left:
            raise FtError(
                f"{shown(self.wanted.url)}: {error}; nothing to speak of arrived for {self.timeout:g} s "
                f"(tried {self.tries} times; {TIMEOUT_VARIABLE} sets how long to wait)"
            ) from error
        time.sleep(max(pause, error.wait or 0.0))

    def _begin(self, response: requests.Response, final: str) -> None:
        if response.status_code == 416:
            self.partial.discard()
            raise Passing("the server has less than what arrived before (HTTP 416)")
        if response.status_code != 200:
            raise FtError(f"{shown(final)}: HTTP {response.status_code} {response.reason}, which was not asked for")
        length = response.headers.get("Content-Length", "")
        total = int(length) if re.fullmatch(r"\d{1,15}", length, re.ASCII) else None
        if "Transfer-Encoding" in response.headers:
            total = None
        if self.wanted.size is not None and total not in (None, self.wanted.size):
            page = " (a web page)" if "html" in response.headers.get("Content-Type", "").lower() else ""
            raise FtError(
                f"{shown(final)}: what the server sends{page} has {total} bytes, should have {self.wanted.size}"
            )
        if total is not None and total > self.wanted.most:
            raise FtError(
                f"{shown(final)}: what the server sends has {total} bytes, should have at most {self.wanted.most}"
            )
        if total is None and self.wanted.size is None and not self.wanted.has_digest:
            raise FtError(f"{shown(final)}: neither a digest nor a length says whether the file is whole; use a mirror")
        self.partial.begin(_validator(response), total if total is not None else self.wanted.size)
        self.inherited = 0

    def _receive(self, response: requests.Response) -> None:
        partial = self.partial
        self._show()
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            limit = self.wanted.most if partial.total is None else partial.total
            if partial.done + len(chunk) > limit:
                partial.discard()
                raise FtError(
                    f"{shown(self.wanted.url)}: the server sends more than the {limit} bytes that the file has at most"
                )
            partial.write(chunk)
            now = time.monotonic()
            if partial.done - self.furthest >= PROGRESS:
                self.furthest, self.since, self.failures = partial.done, now, 0
            self._show()
            if now - self.since > self.timeout and partial.done != partial.total:
                raise FtError(
                    f"{shown(self.wanted.url)}: less than {PROGRESS // 1024} KiB in {self.timeout:g} s is too slow; "
                    f"{TIMEOUT_VARIABLE} sets how long to wait"
                )

    def _show(self) -> None:
        new, seconds = self.partial.done - self.inherited, max(time.monotonic() - self.start, 1e-6)
        self.progress(Transfer(self.partial.path.name, self.partial.done, self.partial.total, max(new, 0) / seconds))


def _check_range(response: requests.Response, partial: Partial) -> None:
    """Raise Passing, having thrown away what arrived before, unless the answer goes on exactly where that ends."""
    said = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", said, re.ASCII)
    tag = response.headers.get("ETag", partial.validator)
    length = response.headers.get("Content-Length", "")
    fits = (
        match is not None
        and int(match[1]) == partial.done <= int(match[2])
        and match[3] in ("*", str(partial.total))
        and length in ("", str(int(match[2]) - int(match[1]) + 1))
        and (tag == partial.validator or not partial.validator.startswith('"'))
    )
    if not fits:
        asked = f"bytes {partial.done}-"
        partial.discard()
        raise Passing(f"the server answered '{said}' when asked for '{asked}'")


def _validator(response: requests.Response) -> str:
    """What names this version of the file for If-Range: a strong ETag, else its time, else nothing."""
    tag = str(response.headers.get("ETag", ""))
    if re.fullmatch(r'"[\x21\x23-\x7e]{1,500}"', tag):
        return tag
    changed = str(response.headers.get("Last-Modified", ""))
    return changed if re.fullmatch(r"[\w ,:+-]{1,60}", changed, re.ASCII) else ""
