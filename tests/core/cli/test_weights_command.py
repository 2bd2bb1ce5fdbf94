"""`ft weights`, with a provider of one model whose weights a server on this machine has."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
import urllib3
from click.testing import Result

from ft.weights.doctor import Finding
from ft.weights.http import explain
from weight_server import Answer, WeightServer, weight_server

PROVIDER = """
from ft import BackboneProvider, WeightEntry
def weights(model_name):
    return [WeightEntry(name, file_name, url="{url}/" + file_name, sha256="{digest}"[:8])
            for name, file_name in (("V2", "net-v2.pth"), ("V1", "net-v1.pth"))]
Tiny = BackboneProvider("tiny", "Tiny", models=lambda settings: ["net"], build=lambda *_: None, weights=weights)
"""


def content() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(5000.0)}, buffer)
    return buffer.getvalue()


CONTENT = content()


@pytest.fixture
def web() -> Iterator[WeightServer]:
    with weight_server() as server:
        server.put("/net-v1.pth", CONTENT)
        server.put("/net-v2.pth", CONTENT)
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("FT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def ref(web: WeightServer, folder: Path, tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(PROVIDER.format(url=web.url, digest=hashlib.sha256(CONTENT).hexdigest()))
    return f"{tmp_path}/mine.py:Tiny:net"


Ft = Callable[..., Result]


def flip_a_bit(path: Path) -> None:
    bad = bytearray(path.read_bytes())
    bad[100] ^= 1
    path.write_bytes(bad)


def test_fetch_gets_the_default_and_named_weights_ahead(ft: Ft, ref: str, folder: Path, web: WeightServer) -> None:
    assert ft("weights", "fetch", ref, f"{ref}@V1").stdout.split() == [
        f"{folder}/net-v2.pth",
        f"{folder}/net-v1.pth",
    ]
    ft("weights", "fetch", ref)
    assert web.asked == ["/net-v2.pth", "/net-v1.pth"]


def test_unknown_weights_are_an_error_that_lists_the_known(ft: Ft, ref: str) -> None:
    error = ft("weights", "fetch", f"{ref}@V9", fails=True).exception
    assert str(error).endswith("has no weights named 'V9'. It has: V2, V1")


@pytest.mark.parametrize("variable", ["FT_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize("command", ["fetch", "doctor"])
def test_offline_opens_no_socket(
    ft: Ft, ref: str, monkeypatch: pytest.MonkeyPatch, variable: str, command: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    result = ft("weights", command, ref, fails=True)
    assert f"{variable}=1" in result.output + str(result.exception)


def test_list_shows_what_is_there_and_where_it_came_from(ft: Ft, ref: str, web: WeightServer) -> None:
    ft("weights", "fetch", ref, f"{ref}@V1")
    (listed,) = json.loads(ft("weights", "list", "v1", "--json").stdout)
    assert (listed["entry"], listed["origin"]) == ("V1", f"{web.url}/net-v1.pth")
    assert listed["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert "2 files" in ft("weights", "list").stdout


def test_verify_finds_a_flipped_bit(ft: Ft, ref: str, folder: Path) -> None:
    ft("weights", "fetch", ref, f"{ref}@V1")
    (folder / "byhand.pth").write_bytes(CONTENT)
    assert ft("weights", "verify").exit_code == 0
    flip_a_bit(folder / "net-v1.pth")
    result = ft("weights", "verify", "--json", fails=True)
    assert result.exit_code == 1
    states = {Path(s["path"]).name: s["state"] for s in json.loads(result.stdout)}
    assert states == {"byhand.pth": "unknown", "net-v1.pth": "damaged", "net-v2.pth": "ok"}


def test_verify_goes_by_the_name_where_there_is_no_record(ft: Ft, folder: Path) -> None:
    folder.mkdir(parents=True)
    digest = hashlib.sha256(CONTENT).hexdigest()
    for name in (f"good-{digest[:8]}.pth", "bad-12345678.pth"):
        (folder / name).write_bytes(CONTENT)
    states = json.loads(ft("weights", "verify", "--json", fails=True).stdout)
    assert [state["state"] for state in states] == ["damaged", "ok"]


def test_prune_removes_what_is_damaged_or_left_behind_and_nothing_else(ft: Ft, ref: str, folder: Path) -> None:
    ft("weights", "fetch", ref, f"{ref}@V1")
    flip_a_bit(folder / "net-v1.pth")
    (folder / "byhand-12345678.pth").write_bytes(CONTENT)
    (folder / "net-v0.pth.bad-12345678").write_bytes(b"x")
    (folder / "mine.bad-lr").write_bytes(b"x")
    (folder / "gone.pth").symlink_to(folder / "nowhere.pth")
    (folder / ".net-v0.pth.000000-1-000000-000000.part").write_bytes(b"x")
    os.utime(folder / ".net-v0.pth.000000-1-000000-000000.part", (0, 0))
    before = sorted(folder.iterdir())
    assert ft("weights", "prune", "--dry-run").stdout.count("would remove") == 4
    assert sorted(folder.iterdir()) == before
    ft("weights", "prune")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("byhand-12345678.pth", "gone.pth", "mine.bad-lr", "net-v2.pth")
    ]
    assert ft("weights", "prune").stdout.startswith("0 files")


def test_prune_removes_fetched_files_that_nobody_used(ft: Ft, ref: str, folder: Path, tmp_path: Path) -> None:
    ft("weights", "fetch", ref, f"{ref}@V1")
    old = time.time() - 40 * 24 * 3600
    for record in (tmp_path / "cache" / "weights").glob("*.json"):
        os.utime(record, (old, old))
    ft("weights", "fetch", ref)
    (folder / "byhand.pth").write_bytes(CONTENT)
    ft("weights", "prune", "--unused", "30")
    assert sorted(path.name for path in folder.iterdir()) == ["byhand.pth", "net-v2.pth"]


def test_a_bundle_takes_weights_to_another_machine(
    ft: Ft, ref: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ft("weights", "bundle", "out.zip", ref, f"{ref}@V1")
    for name in ("FT_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "another machine"))
    monkeypatch.setenv("FT_OFFLINE", "1")
    (path,) = ft("weights", "fetch", f"{ref}@V1", "--from", "local:out.zip").stdout.splitlines()
    assert Path(path).read_bytes() == CONTENT
    assert path.startswith(str(tmp_path / "another machine"))
    error = ft("weights", "bundle", "out.tar", ref, fails=True).exception
    assert str(error) == "a bundle is a .zip file; write out.zip"


@pytest.mark.parametrize(
    ("answer", "state", "seen", "advice"),
    [
        (Answer(CONTENT), "ok", "a weight file of", ""),
        (Answer(status=401), "problem", "it wants a user and password", "write USER:PASSWORD@ before the host"),
        (Answer(status=403), "problem", "HTTP 403 Forbidden; it does not let you", "--from mirror:BASE_URL"),
        (Answer(status=503), "problem", "HTTP 503", "try again in a minute"),
        (Answer(b"<html>log in</html>"), "problem", "it is a web page; perhaps", "in a browser and log in"),
        (Answer(b""), "problem", "it is empty", "--from mirror:BASE_URL"),
    ],
)
def test_doctor_says_what_is_wrong_with_a_server(
    ft: Ft, ref: str, web: WeightServer, folder: Path, answer: Answer, state: str, seen: str, advice: str
) -> None:
    web.put("/net-v2.pth", answer)
    result = ft("weights", "doctor", ref, "--json", fails=state == "problem")
    found = {f["tried"]: f for f in json.loads(result.stdout)}
    official = found[f"official: {web.url}/net-v2.pth"]
    assert (official["state"], result.exit_code) == (state, int(state == "problem"))
    assert seen in official["text"]
    assert advice in official["advice"]
    assert bool(advice) == bool(official["advice"])
    assert found["cache"]["text"].startswith("there is no ")
    assert list(folder.iterdir()) == []


def test_doctor_tries_every_source(ft: Ft, ref: str, web: WeightServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_WEIGHT_MIRROR", web.url.replace("http://", "http://me:secret@") + "/mirror")
    result = ft("weights", "doctor", ref, "--from", "local:nowhere", "--from", "pip:nothing", "--json", fails=True)
    assert "secret" not in result.output
    tried = [(f["tried"].partition(" ")[0], f["state"]) for f in json.loads(result.stdout)]
    assert [each for each in tried if each[0] not in ("weights", "records", "proxy")] == [
        ("cache", "note"),
        ("local:nowhere", "problem"),
        ("pip:nothing", "problem"),
        (f"mirror:{web.url}/mirror:", "problem"),
        ("official:", "ok"),
    ]


def test_doctor_says_that_a_folder_cannot_be_written_to(
    ft: Ft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    found = json.loads(ft("weights", "doctor", "--json", fails=True).stdout)
    (folder,) = (f for f in found if f["tried"] == "weights folder")
    assert (folder["state"], folder["advice"]) == ("problem", "choose one that you may write to: TORCH_HOME=FOLDER")
    shown = ft("weights", "doctor", fails=True).stdout
    assert shown.endswith("What you can do:\n  weights folder: choose one that you may write to: TORCH_HOME=FOLDER\n")


def wrapped(inner: Exception) -> Exception:
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", inner))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tried", "text", "advice"),
    [
        ("official: x", explain(wrapped(socket.gaierror(-2, "Name or service not known"))), "check the host's name"),
        ("official: x", explain(wrapped(ssl.SSLCertVerificationError("unknown issuer"))), "REQUESTS_CA_BUNDLE=FILE"),
        ("official: x", explain(requests.exceptions.ProxyError(OSError("refused"))), "correct HTTPS_PROXY"),
        ("official: x", explain(TimeoutError()), "FT_HTTP_TIMEOUT=300"),
        ("official: x", "FT_OFFLINE=1, so x is not asked", "unset FT_OFFLINE"),
        ("records folder", "/x cannot be written to: Read-only file system", "FT_CACHE=FOLDER"),
        ("disk", "5.0 GB are needed, 0.1 GB are free", "ft weights prune"),
        ("cache", "x.pth is damaged", "ft weights fetch"),
        ("local:nowhere", "there is no file or folder", "--from mirror:BASE_URL"),
    ],
)
def test_what_does_not_work_comes_with_what_to_try(tried: str, text: str, advice: str) -> None:
    assert advice in Finding(tried, "problem", text).advice
    assert Finding(tried, "ok", text).advice == Finding(tried, "note", text).advice == ""
