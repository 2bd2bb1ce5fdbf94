"""Fetching from a server that misbehaves: a right file or a named error, in time, and never a wrong file."""

from __future__ import annotations

import gzip
import hashlib
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from faults.hostile_server import Fault, HostileServer, Request, hostile_server, serve
from ft import FtError, WeightEntry
from ft.weights.cache import Cache

TIMEOUT = 0.9


def _content() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.randn(180_000, generator=torch.Generator().manual_seed(0))}, buffer)
    return buffer.getvalue()


CONTENT = _content()
OTHER = bytes(reversed(CONTENT))
HALF = len(CONTENT) // 2
ENTRY = WeightEntry("V1", "net.pth", sha256=hashlib.sha256(CONTENT).hexdigest()[:8], approximate_size=len(CONTENT))


def first(fault: Fault, then: Fault = serve) -> Fault:
    """A fault of the first answer only."""
    return lambda r: (fault if r.number == 1 else then)(r)


def to_ranges(fault: Fault) -> Fault:
    """A first answer that is cut at half, and a fault of every answer to a Range."""
    return lambda r: serve(r, most=HALF) if r.number == 1 else fault(r) if r.start else serve(r)


def cut(most: int) -> Fault:
    return lambda r: serve(r, most=most)


def stall(r: Request) -> None:
    serve(r, most=HALF)
    r.wfile.flush()
    time.sleep(3 * TIMEOUT)


def reset(r: Request) -> None:
    serve(r, most=HALF)
    r.reset()


def status(code: int, **headers: str) -> Fault:
    def answer(r: Request) -> None:
        r.head(code, 4, **headers)
        r.body(b"busy")

    return answer


def whole(content: bytes, length: int | None = None, **headers: str) -> Fault:
    def answer(r: Request) -> None:
        r.head(200, len(content) if length is None else length, **headers)
        r.body(content)

    return answer


def range_at_another_place(r: Request) -> None:
    start = max(r.start - 7, 0)
    rest = CONTENT[start:]
    r.head(206, len(rest), ETag='"v1"', Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    r.body(rest)


def range_of_another_length(r: Request) -> None:
    r.head(206, len(CONTENT) - r.start, ETag='"v1"', Content_Range=f"bytes {r.start}-{len(CONTENT)}/{len(CONTENT) + 1}")
    r.body(CONTENT[r.start :])


def range_with_other_bytes(r: Request) -> None:
    serve(r, content=OTHER if r.start else None, most=None)


def range_of_another_version(r: Request) -> None:
    r.head(206, HALF, ETag='"v2"', Content_Range=f"bytes {r.start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    r.body(OTHER[r.start :])


def range_without_content_range(r: Request) -> None:
    r.head(206, len(CONTENT) - r.start, ETag='"v1"')
    r.body(CONTENT[r.start :])


def only_whole(r: Request) -> None:
    r.head(200, len(CONTENT), ETag='"v1"')
    r.body(CONTENT)


def drip_body(r: Request) -> None:
    r.head(200, len(CONTENT), ETag='"v1"')
    for at in range(10_000):
        r.wfile.write(CONTENT[at : at + 1])
        time.sleep(0.02)


def drip_headers(r: Request) -> None:
    for letter in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 10_000:
        r.wfile.write(bytes([letter]))
        time.sleep(0.02)


def silence(r: Request) -> None:
    time.sleep(3 * TIMEOUT)


def raw(answer: bytes) -> Fault:
    return lambda r: r.wfile.write(answer) and None


def endless(r: Request) -> None:
    r.head(200, None, ETag='"v1"')
    while True:
        r.wfile.write(CONTENT)


def chunked(ending: bytes) -> Fault:
    def answer(r: Request) -> None:
        r.head(200, None, ETag='"v1"', Transfer_Encoding="chunked")
        for at in range(0, len(CONTENT), 50_000):
            piece = CONTENT[at : at + 50_000]
            r.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        r.wfile.write(ending)

    return answer


def redirect(target: str, code: int = 302) -> Fault:
    return lambda r: r.head(code, 0, Location=target)


def to_other_host(r: Request) -> None:
    r.head(307, 0, Location=r.site.url.replace("127.0.0.1", "localhost") + "/honest")


PAGE = b"<!DOCTYPE html><html><body>Please log in to the hotel's network</body></html>"
TODAY = "Wed, 21 Oct 2015 07:28:00 GMT"
FILE, ERROR = "file", "error"
FAULTS: dict[str, tuple[Fault, str]] = {
    "honest": (serve, FILE),
    "cut-once-at-1": (first(cut(1)), FILE),
    "cut-once-at-half": (first(cut(HALF)), FILE),
    "cut-once-at-last": (first(cut(len(CONTENT) - 1)), FILE),
    "cut-every-256-KiB": (cut(256 * 1024), FILE),
    "cut-every-100-bytes": (cut(100), ERROR),
    "cut-without-validator": (first(whole(CONTENT[:HALF], len(CONTENT)), whole(CONTENT)), FILE),
    "stall-once": (first(stall), FILE),
    "stall": (first(stall, silence), ERROR),
    "silence": (silence, ERROR),
    "drip-body": (drip_body, ERROR),
    "drip-headers": (drip_headers, ERROR),
    "reset-once": (first(reset), FILE),
    "reset-before-an-answer": (Request.reset, ERROR),
    "close-before-an-answer": (lambda r: None, ERROR),
    "200-to-a-range": (first(cut(HALF), only_whole), FILE),
    "200-to-a-range-and-cut": (lambda r: whole(CONTENT[:HALF], len(CONTENT), ETag='"v1"')(r), ERROR),
    "416-to-a-range": (to_ranges(status(416)), FILE),
    "206-to-no-range": (range_without_content_range, ERROR),
    "wrong-Content-Range-offset": (
        to_ranges(range_at_another_place),
        FILE,
    ),
    "wrong-Content-Range-length": (
        to_ranges(range_of_another_length),
        FILE,
    ),
    "no-Content-Range": (to_ranges(range_without_content_range), FILE),
    "other-bytes-in-a-range": (first(cut(HALF), range_with_other_bytes), FILE),
    "other-version-in-a-range": (
        to_ranges(range_of_another_version),
        FILE,
    ),
    "changed-ETag": (first(lambda r: serve(r, content=OTHER, etag='"v0"', most=HALF)), FILE),
    "changed-under-one-ETag": (first(lambda r: serve(r, content=OTHER, most=HALF)), FILE),
    "Content-Length-too-long": (whole(CONTENT, len(CONTENT) + 100), ERROR),
    "Content-Length-too-short": (whole(CONTENT, len(CONTENT) - 100), ERROR),
    "Content-Length-absurd": (whole(CONTENT, 10**14), ERROR),
    "Content-Length-negative": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + CONTENT), FILE),
    "no-length-cut": (raw(b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT[:HALF]), ERROR),
    "no-length-whole": (raw(b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT), FILE),
    "endless": (endless, ERROR),
    "chunked": (chunked(b"0\r\n\r\n"), FILE),
    "chunked-cut": (chunked(b""), ERROR),
    "chunked-garbage": (chunked(b"zz\r\n"), ERROR),
    "gzip": (whole(gzip.compress(CONTENT, 1), Content_Encoding="gzip"), ERROR),
    "not-http": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), ERROR),
    "header-of-1-MB": (raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 10**6 + b"\r\n\r\n"), ERROR),
    "401": (status(401), ERROR),
    "403": (status(403), ERROR),
    "404": (status(404), ERROR),
    "429-once-Retry-After-0": (first(status(429, Retry_After="0")), FILE),
    "429-Retry-After-an-hour": (status(429, Retry_After="3600"), ERROR),
    "500-once": (first(status(500)), FILE),
    "503-once-Retry-After-a-date": (first(status(503, Retry_After=TODAY)), FILE),
    "503": (status(503), ERROR),
    "web-page": (whole(PAGE, Content_Type="text/html"), ERROR),
    "empty": (whole(b""), ERROR),
    "another-file": (whole(OTHER), ERROR),
    "redirect": (redirect("/honest", 301), FILE),
    "redirect-loop": (redirect("/redirect-loop"), ERROR),
    "redirect-to-another-host": (to_other_host, FILE),
    "redirect-to-a-file": (redirect("file:///etc/passwd"), ERROR),
    "redirect-to-a-private-address": (redirect("http://169.254.169.254/latest/meta-data"), ERROR),
    "redirect-to-nowhere": (redirect("http://:99999/"), ERROR),
}


@pytest.fixture
def web() -> Iterator[HostileServer]:
    with hostile_server(CONTENT, {name: fault for name, (fault, _) in FAULTS.items()}) as server:
        yield server


@pytest.fixture
def weight_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("FT_HTTP_TIMEOUT", str(TIMEOUT))
    return Cache(tmp_path / "checkpoints", tmp_path / "records", pauses=(0.01, 0.01, 0.01))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_in_the_right_file_or_a_named_error_in_time(
    web: HostileServer, weight_cache: Cache, name: str
) -> None:
    start, path, url = time.monotonic(), weight_cache.path(ENTRY), f"{web.url}/{name}"
    if FAULTS[name][1] == FILE:
        weight_cache.download(ENTRY, url)
    else:
        with pytest.raises(FtError, match=web.url):
            weight_cache.download(ENTRY, url)
    assert time.monotonic() - start < 2 * TIMEOUT
    assert path.exists() == (FAULTS[name][1] == FILE)
    if path.exists():
        assert path.read_bytes() == CONTENT
        assert [p.name for p in path.parent.iterdir()] == ["net.pth"]
    else:
        # Once the server is well, the next fetch succeeds whatever this one left, and leaves nothing else behind.
        web.healed = True
        assert weight_cache.download(ENTRY, url).read_bytes() == CONTENT
        assert [p.name for p in path.parent.iterdir()] == ["net.pth"]


def test_a_cut_fetch_goes_on_where_it_was_cut(web: HostileServer, weight_cache: Cache) -> None:
    weight_cache.download(ENTRY, f"{web.url}/cut-every-256-KiB")
    assert web.sent == len(CONTENT)
    assert [h.get("Range") for h in web.headers] == [None, "bytes=262144-", "bytes=524288-"]
    assert [h.get("If-Range") for h in web.headers] == [None, '"v1"', '"v1"']


def test_a_redirect_to_another_host_is_noted(web: HostileServer, weight_cache: Cache) -> None:
    weight_cache.download(ENTRY, f"{web.url}/redirect-to-another-host")
    assert weight_cache.notes == [
        f"{web.url}/redirect-to-another-host was redirected to another host: "
        f"{web.url.replace('127.0.0.1', 'localhost')}/honest"
    ]
