"""A folder put on a Hub that runs on this machine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ft import FtError
from ft.exporting.push import repository_of
from weight_server import serving

pytestmark = pytest.mark.slow  # the library takes seconds to import
PUSH = """
import sys
from pathlib import Path
from ft import FtError
from ft.exporting.push import push
try:
    print(push(Path(sys.argv[1]), sys.argv[2]))
except FtError as error:
    print(f"error: {error}")
"""


@dataclass
class Hub:
    """What a Hub was asked for, and the files that were committed."""

    url: str = ""
    status: int = 200
    created: list[Any] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    files: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def hub_open(status: int = 200) -> Iterator[Hub]:
    """A Hub that takes every file in the commit itself, as the real one does with small ones."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.tokens.add(self.headers.get("Authorization", ""))
            answer: Any = {}
            if self.path == "/api/repos/create":
                hub.created.append(json.loads(body))
                answer = {"url": f"{hub.url}/lab/cells", "name": "lab/cells"}
            elif "/preupload/" in self.path:
                asked, kept = json.loads(body)["files"], {"uploadMode": "regular", "shouldIgnore": False}
                answer = {"files": [{**kept, "path": each["path"]} for each in asked]}
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                answer = {"commitUrl": f"{hub.url}/lab/cells/commit/{'a' * 40}", "commitOid": "a" * 40}
            self.answer(answer)

        def do_GET(self) -> None:
            self.answer({"id": "lab/cells", "siblings": [], "sha": "a" * 40})

        do_HEAD = do_GET

        def answer(self, tree: Any) -> None:
            told = json.dumps(tree).encode()
            self.send_response(hub.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = Hub(f"http://127.0.0.1:{server.server_port}", status)
    with serving(server):
        yield hub


def pushed(hub: Hub, folder: Path, home: Path) -> str:
    environ = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_ours", "HF_HOME": str(home)}
    environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    command = [sys.executable, "-c", PUSH, str(folder), "lab/cells"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_every_file_is_in_one_commit_of_a_private_repository(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    folder = tmp_path / "exported"
    folder.mkdir()
    for name in ("model.onnx", "README.md", "labels.txt"):
        (folder / name).write_bytes(name.encode() * 10)
    with hub_open() as hub:
        assert pushed(hub, folder, tmp_path / "hf") == f"{hub.url}/lab/cells"
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert (hub.created[0]["name"], hub.created[0]["organization"]) == ("cells", "lab")
    assert hub.created[0].get("visibility") == "private" or hub.created[0]["private"]  # by the library's version
    assert hub.tokens == {"Bearer hf_ours"}


def test_a_hub_that_refuses_is_told_with_how_to_go_on(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    (tmp_path / "exported").mkdir()
    with hub_open(401) as hub:
        said = pushed(hub, tmp_path / "exported", tmp_path / "hf")
    assert said.startswith(f"error: {tmp_path / 'exported'} is written, and could not be put on the Hub as lab/cells: ")
    assert said.endswith(f"hf upload lab/cells {tmp_path / 'exported'}")
    assert "hf_ours" not in said


@pytest.mark.parametrize("place", ["lab/cells", "hf:cells", "hf:lab/cells/model.onnx", "hf:../x", "s3:lab/cells"])
def test_another_place_is_refused(place: str) -> None:
    with pytest.raises(FtError, match="write hf:USER/NAME, a model repository"):
        repository_of(place)
