"""Tries each place that weights could come from, without fetching them, and says what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import WeightEntry
from ft.machine.files import megabytes
from ft.text.redaction import shown
from ft.weights.bundle import read_manifest
from ft.weights.cache import Cache
from ft.weights.choice import MIRROR_VARIABLE, WeightChoice, ask_source
from ft.weights.format import other_than_weights
from ft.weights.http import NETWORK_ERRORS, PRIVATE_VARIABLE, TIMEOUT_VARIABLE, Passing, explain, http_timeout, open_url

_START = 64
_ELSEWHERE = f"ask another place: --from mirror:BASE_URL (or {MIRROR_VARIABLE}), local:PATH or pip:PACKAGE"
_ADVICE = (
    (r"^weights folder", "choose one that you may write to: TORCH_HOME=FOLDER"),
    (r"^records folder", "choose one that you may write to: FT_CACHE=FOLDER"),
    (r"^disk", "make room with ft weights prune --unused 30, or choose a larger disk: TORCH_HOME=FOLDER"),
    (r"^cache", "ft weights fetch gets it again"),
    (r"OFFLINE=", "unset FT_OFFLINE and HF_HUB_OFFLINE, or --from local:PATH"),
    (r"\(DNS\)", f"check the host's name; set HTTPS_PROXY if only a proxy gets out; {_ELSEWHERE}"),
    (r"\(TLS\)", "name the certificate of your network's proxy or server: REQUESTS_CA_BUNDLE=FILE"),
    (r"the proxy", "correct HTTPS_PROXY, or NO_PROXY=HOST for what needs none"),
    (r"no answer in time", f"{TIMEOUT_VARIABLE}=300; set HTTPS_PROXY if only a proxy gets out; {_ELSEWHERE}"),
    (r"log in first", "open a page in a browser and log in, or set HTTPS_PROXY"),
    (r"private address", f"{PRIVATE_VARIABLE}=1 if you trust it"),
    (r"HTTP 401", "write USER:PASSWORD@ before the host, or keep them in ~/.netrc"),
    (r"HTTP (403|404|410)", f"check that the address holds the file under this name; {_ELSEWHERE}"),
    (r"HTTP (408|425|429|5\d\d)", f"try again in a minute; {_ELSEWHERE}"),
    (r"", _ELSEWHERE),
)
"""What to try when this is in what was tried and seen; the first that fits."""
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Finding:
    """What was tried, whether it works, what was seen, and for a problem what to try next."""

    tried: str
    state: Literal["ok", "note", "problem"]
    text: str

    @property
    def advice(self) -> str:
        """What to type next; "" where nothing is wrong."""
        if self.state != "problem":
            return ""
        return next(advice for said, advice in _ADVICE if re.search(said, f"{self.tried}: {self.text}"))


def diagnose_machine(cache: Cache, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Look at what every fetch needs: the network allowed, proxies, folders to write to, room on the disk."""
    found: list[Finding] = []
    if cache.offline:
        found.append(Finding("network", "note", f"{cache.offline}: nothing is fetched; unset it to change that"))
    for name in _PROXIES:
        if value := environ.get(name) or environ.get(name.lower()):
            found.append(Finding("proxy", "note", f"{name}={shown(value)}"))
    for what, folder in (("weights folder", cache.folder), ("records folder", cache.records)):
        found.append(_folder(what, folder))
    return found


def diagnose(choice: WeightChoice, plugins: Plugins, cache: Cache) -> list[Finding]:
    """Try the cache and each of the choice's sources; at most some bytes of the file are fetched from each."""
    found = [_cached(choice, cache)] if choice.cache_first else []
    for source in choice.sources:
        probe = _Probe(cache, shown(source), cache.offline)
        try:
            path = ask_source(source, choice, plugins, probe)
            probe.findings.append(Finding(shown(source), "ok", f"{path} is the file"))
        except _Tried:
            pass
        except FtError as error:
            probe.findings.append(Finding(shown(source), "problem", shown(str(error))))
        found += probe.findings
    size = choice.entry.size or choice.entry.approximate_size
    free = _free(cache.folder)
    if size and free is not None and free < size:
        found.append(Finding("disk", "problem", f"{megabytes(size)} are needed, {megabytes(free)} are free"))
    return found


class _Tried(BaseException):
    """A source asked for something to be fetched; whether it could be is known now. No source may catch this."""


@dataclass
class _Probe:
    """Implements `ft.WeightCache` for sources, finding out what would come instead of fetching it."""

    cache: Cache
    source: str
    offline: str
    findings: list[Finding] = field(default_factory=list)

    def find(self, entry: WeightEntry) -> Path | None:
        return None

    def download(self, entry: WeightEntry, *urls: str) -> Path:
        if self.offline:
            raise FtError(f"{self.offline}, so {shown(urls[0])} is not asked")
        for url in urls:
            self.findings.append(_probe(f"{self.source}: {shown(url)}", url, entry))
        raise _Tried

    def store(
        self, entry: WeightEntry, origin: str, write: Callable[[BinaryIO], object], *, remote: bool = True
    ) -> Path:
        if self.offline and remote:
            raise FtError(f"{self.offline}, so {shown(origin)} is not asked")
        start = _Start()
        with contextlib.suppress(_Tried):
            write(start)  # type: ignore[arg-type]
        looks = other_than_weights(bytes(start.content))
        self.findings.append(
            Finding(self.source, "problem" if looks else "ok", looks or f"{shown(origin)} can be read")
        )
        raise _Tried

    def unpack(self, entry: WeightEntry, bundle: Path) -> Path:
        held = read_manifest(bundle)
        if entry.file_name not in held:
            raise FtError(f"the bundle holds no {entry.file_name}, but: {', '.join(held) or 'nothing'}")
        return bundle

    def verify(self, entry: WeightEntry, path: Path) -> Path:
        return self.cache.verify(entry, path)


class _Start:
    """A file that takes the first bytes and then interrupts its writer."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, chunk: Any) -> int:
        self.content += chunk
        if len(self.content) >= _START:
            raise _Tried
        return len(chunk)

    def flush(self) -> None:
        """Do nothing; there is nothing behind this file."""


def _probe(tried: str, url: str, entry: WeightEntry) -> Finding:
    notes: list[str] = []
    try:
        response, _ = open_url(url, {"Range": f"bytes=0-{_START - 1}"}, http_timeout() / 3, notes.append)
        with response:
            start = response.raw.read1(_START, decode_content=False)
            said = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get(
                "Content-Length", ""
            )
    except (Passing, FtError) as error:
        return Finding(tried, "problem", str(error).removeprefix(f"{shown(url)}: "))
    except NETWORK_ERRORS as error:
        return Finding(tried, "problem", explain(error))
    size = int(said) if re.fullmatch(r"\d{1,15}", said) else None
    if looks := other_than_weights(start):
        portal = "; perhaps the network wants you to log in first" if "web page" in looks else ""
        return Finding(tried, "problem", f"what the server sends is no weight file: {looks}{portal}")
    if size is not None and entry.size not in (None, size):
        return Finding(tried, "problem", f"the file there has {size} bytes, should have {entry.size}")
    there = f"a weight file of {megabytes(size)}" if size is not None else "a weight file"
    return Finding(tried, "ok", "; ".join([there, *notes]))


def _cached(choice: WeightChoice, cache: Cache) -> Finding:
    try:
        path = cache.find(choice.entry)
    except FtError as error:
        return Finding("cache", "problem", str(error))
    text = f"{path} is the file" if path else f"there is no {cache.path(choice.entry)} yet"
    return Finding("cache", "ok" if path else "note", text)


def _folder(what: str, folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(what, "problem", f"{folder} cannot be written to: {error.strerror or error}")
    free = _free(folder)
    return Finding(what, "ok", f"{folder}, {megabytes(free)} free" if free is not None else str(folder))


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def problems(findings: list[Finding]) -> Iterator[Finding]:
    """Yield what does not work."""
    return (finding for finding in findings if finding.state == "problem")
