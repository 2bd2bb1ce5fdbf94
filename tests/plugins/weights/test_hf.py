from __future__ import annotations

import builtins
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from ft import FtError, Settings, WeightEntry
from ft.weights.cache import Cache
from ft_weights.hf import fetch
from weight_server import Answer, WeightServer, weight_server

pytestmark = pytest.mark.slow  # the library takes seconds to import

COMMIT = "c" * 40
OURS = save({"weight": torch.ones(50)})
FETCH = """
import json, sys
from pathlib import Path
from ft import FtError, Settings, WeightEntry
from ft.weights.cache import Cache
from ft_weights.hf import fetch
argument, folder, offline, file_name, sha256 = sys.argv[1:]
if offline:
    import socket
    def refuse(*_, **__):
        raise SystemExit("a socket was opened")
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
cache = Cache(Path(folder) / "checkpoints", Path(folder) / "records", offline)
try:
    path = fetch(WeightEntry("V1", file_name, sha256=sha256), argument, Settings(), cache)
    print(json.dumps([str(path), cache.notes]))
except FtError as error:
    print(json.dumps([f"error: {error}", cache.notes]))
"""


def published() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(50)}, buffer)
    return buffer.getvalue()


PUBLISHED = published()
DIGEST = hashlib.sha256(PUBLISHED).hexdigest()


@pytest.fixture
def web() -> Iterator[WeightServer]:
    """A server that answers as the Hub does for large files, of which it names the SHA-256."""
    with weight_server() as server:
        for path, content in {
            "org/net/resolve/main/model.safetensors": OURS,
            "org/old/resolve/v1/net.pth": PUBLISHED,
        }.items():
            etag = hashlib.sha256(content).hexdigest()
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "X-Linked-Etag": f'"{etag}"'}
            server.put(f"/{path}", Answer(content, headers={**headers, "X-Linked-Size": str(len(content))}))
            server.put(
                f"/{path.replace('/v1/', f'/{COMMIT}/').replace('/main/', f'/{COMMIT}/')}",
                Answer(content, headers=headers),
            )
        missing = Answer(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        for path in ("/org/net/resolve/main/net.pth", "/org/net/resolve/main/absent.pth"):
            server.put(path, missing)
        yield server


def run(web: WeightServer, tmp_path: Path, argument: str, offline: str = "") -> tuple[str, list[str]]:
    pytest.importorskip("huggingface_hub")
    environ = {
        **os.environ,
        "HF_ENDPOINT": web.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    arguments = [argument, str(tmp_path), offline, "net.pth", DIGEST[:8]]
    done = subprocess.run([sys.executable, "-c", FETCH, *arguments], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    path, notes = json.loads(done.stdout.splitlines()[-1])
    return path, notes


def test_the_models_file_is_fetched_and_verified_by_the_hubs_own_digest(web: WeightServer, tmp_path: Path) -> None:
    path, notes = run(web, tmp_path, "org/net")
    assert Path(path).read_bytes() == OURS
    assert notes == []
    blob = Path(path).resolve()
    content = bytearray(OURS)
    content[-1] ^= 1
    blob.write_bytes(content)
    assert "model.safetensors is damaged" in run(web, tmp_path, "org/net", "FT_OFFLINE=1")[0]


def test_the_entrys_own_file_is_fetched_at_a_revision(web: WeightServer, tmp_path: Path) -> None:
    path, _ = run(web, tmp_path, "org/old@v1")
    assert Path(path).read_bytes() == PUBLISHED


def test_offline_the_hubs_cache_is_used_and_no_socket_opened(web: WeightServer, tmp_path: Path) -> None:
    assert run(web, tmp_path, "org/net/model.safetensors", "FT_OFFLINE=1")[0].startswith(
        "error: FT_OFFLINE=1, and the Hub"
    )
    path, _ = run(web, tmp_path, "org/net/model.safetensors")
    assert run(web, tmp_path, "org/net/model.safetensors", "FT_OFFLINE=1")[0] == path


def test_a_file_that_is_not_there_is_named(web: WeightServer, tmp_path: Path) -> None:
    assert (
        run(web, tmp_path, "org/net/absent.pth")[0] == "error: org/net has no absent.pth; name a file: hf:org/net/FILE"
    )


def test_a_missing_package_is_an_error_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(module: str, *rest: Any) -> Any:
        if module.startswith("huggingface_hub"):
            raise ImportError(module)
        return real(module, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(FtError, match=r"pip install 'ftkit\[hf\]'"):
        fetch(WeightEntry("V1", "net.pth"), "org/net", Settings(), Cache(tmp_path / "a", tmp_path / "b"))


@pytest.mark.parametrize(
    "argument", [None, "", "resnet18", "org/net/../x.pth", "/org/net", "./no/such", "org/net@", "a b/c"]
)
def test_what_names_no_repository_is_an_error(tmp_path: Path, argument: str | None) -> None:
    with pytest.raises(FtError, match="write which repository"):
        fetch(WeightEntry("V1", "net.pth"), argument, Settings(), Cache(tmp_path / "a", tmp_path / "b"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"config\.json is no weight file"):
        fetch(WeightEntry("V1", "net.pth"), "org/net/config.json", Settings(), Cache(tmp_path / "a", tmp_path / "b"))
