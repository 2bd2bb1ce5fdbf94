"""A web server on this machine that serves one file with one fault a path."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from weight_server import serving

Fault = Callable[["Request"], None]


@dataclass
class HostileServer:
    """`content` is served; `asked` counts the requests for each path, `sent` all bytes of bodies."""

    url: str
    content: bytes
    faults: dict[str, Fault]
    asked: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    piece: int = 64 * 1024
    pause: float = 0.0
    healed: bool = False
    headers: list[dict[str, str]] = field(default_factory=list)


class Request(BaseHTTPRequestHandler):
    """One request; the methods answer it, rightly or partly."""

    protocol_version = "HTTP/1.1"
    site: HostileServer

    def do_GET(self) -> None:
        self.close_connection = True
        name = self.path.partition("?")[0].strip("/")
        self.site.asked[name] += 1
        self.site.headers.append(dict(self.headers))
        self.number = self.site.asked[name]
        with contextlib.suppress(OSError):
            (serve if self.site.healed else self.site.faults[name])(self)

    @property
    def start(self) -> int:
        """Where the asked range begins; 0 when all is asked for."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else 0

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def body(self, content: bytes) -> None:
        for at in range(0, len(content), self.site.piece):
            piece = content[at : at + self.site.piece]
            self.wfile.write(piece)
            self.site.sent += len(piece)
            if self.site.pause:
                time.sleep(self.site.pause)

    def reset(self) -> None:
        """End the connection with an RST."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        pass


def serve(r: Request, content: bytes | None = None, etag: str = '"v1"', most: int | None = None) -> None:
    """Answer as a good server does, with at most `most` bytes of the body before the connection ends."""
    content = r.site.content if content is None else content
    start = r.start if r.headers.get("If-Range", etag) == etag else 0
    if start >= len(content):
        r.head(416, 0, Content_Range=f"bytes */{len(content)}")
    elif start:
        r.head(206, len(content) - start, ETag=etag, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}")
        r.body(content[start:][:most])
    else:
        r.head(200, len(content), ETag=etag)
        r.body(content[:most])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def hostile_server(content: bytes, faults: dict[str, Fault]) -> Iterator[HostileServer]:
    handler = type("Bound", (Request,), {})
    server = _Server(("127.0.0.1", 0), handler)
    site = handler.site = HostileServer(f"http://127.0.0.1:{server.server_port}", content, faults)  # type: ignore[attr-defined]
    with serving(server):
        yield site
