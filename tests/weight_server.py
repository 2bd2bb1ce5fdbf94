"""A web server on this machine that answers as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Answer:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """What Content-Length claims; the true length when None."""


@dataclass
class WeightServer:
    """`answers[path]` are given one after the other, the last of them for ever; unknown paths are 404."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def put(self, path: str, *answers: Answer | bytes) -> str:
        self.answers[path] = [a if isinstance(a, Answer) else Answer(a) for a in answers]
        return self.url + path

    def answer(self, path: str) -> Answer:
        queue = self.answers.get(path, [Answer(b"nothing here", 404)])
        return queue.pop(0) if len(queue) > 1 else queue[0]


@contextlib.contextmanager
def weight_server() -> Iterator[WeightServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            site.headers.append(dict(self.headers))
            answer = site.answer(unquote(self.path))
            self.send_response(answer.status)
            length = len(answer.body) if answer.length is None else answer.length
            for name, value in {"Content-Length": str(length), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = WeightServer(f"http://127.0.0.1:{server.server_port}")
    with serving(server):
        yield site


@contextlib.contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Let a server answer in a thread of its own until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
