"""A weight file that the kit makes, its entry, and a server on this machine that has it."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ft.extension.records import WeightEntry


@dataclass(frozen=True)
class WeightFile:
    """`path` holds the file alone in a folder, for a test to move; `entry.url` serves it, and `base_url`/<its name>.

    `asked` grows with the paths that the server is asked for.
    """

    entry: WeightEntry
    path: Path
    content: bytes
    base_url: str
    asked: list[str]


@contextlib.contextmanager
def serve_weights(folder: Path) -> Iterator[WeightFile]:
    """Write a small safetensors file into `folder` and serve it on the loopback interface."""
    path = folder / "tiny-weights.safetensors"
    header = (
        b'{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}     '  # padded to 8 bytes, as the format says
    )
    content = len(header).to_bytes(8, "little") + header + b"\0\0\x80?\0\0\0@"
    path.write_bytes(content)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = self.path.rpartition("/")[2] == path.name
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(content) if found else 0))
            self.end_headers()
            self.wfile.write(content if found else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    base = f"http://127.0.0.1:{server.server_port}"
    digest = hashlib.sha256(content).hexdigest()
    entry = WeightEntry("TINY", path.name, url=f"{base}/{path.name}", sha256=digest, size=len(content))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield WeightFile(entry, path, content, base, asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
