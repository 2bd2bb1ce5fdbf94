"""A password or token in an address is in no file that ft writes and in nothing it says, and the run can be resumed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from backbones import small
from faults.hostile_server import HostileServer, Request, hostile_server, serve
from faults.interrupted_commands import make_images, run_args
from ft.cli import cli
from ft.errors import FtError

PLUGINS = """
from pathlib import Path
from backbones import small
from ft import BackboneProvider, DataSource, Sample, WeightEntry
def weights(model_name):
    return [WeightEntry("V1", "net.pth", sha256="{digest}")]
Guarded = BackboneProvider("guarded", "x", models=lambda settings: ["net"], build=lambda *_: small(), weights=weights)
def load(argument, settings):
    return [Sample(path, path.parent.name) for path in sorted(Path("images").rglob("*.png"))]
Photos = DataSource("photos", "x", load=load)
"""
SECRETS = ("se%40cret", "se@cret", "bWU6c2VAY3JldA", "hush-hush", "t0ken")


def guarded(r: Request) -> None:
    if r.headers.get("Authorization") == "Basic bWU6c2VAY3JldA==":
        serve(r)
    else:
        r.head(401, 0)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HostileServer]:
    for name in ("FT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(small().module.state_dict(), buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (tmp_path / "mine.py").write_text(PLUGINS.format(digest=digest))
    make_images(tmp_path / "images")
    with hostile_server(buffer.getvalue(), {"net.pth": guarded}) as server:
        yield server


def run(*args: str, code: int = 0) -> str:
    """All that a command says; an FtError is what the command line prints and ends with 2 for."""
    result = CliRunner().invoke(cli, list(args))
    error = result.exception
    assert (2 if isinstance(error, FtError) else result.exit_code) == code, error or result.output
    return result.output + str(error or "")


def assert_nothing_leaked(folder: Path, said: str) -> None:
    assert not [secret for secret in SECRETS if secret in said], said
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() and path.name != "mine.py" else b""
        assert not [secret for secret in SECRETS if secret.encode() in content], path


def test_a_run_with_passwords_leaves_none_behind_and_is_resumed(web: HostileServer, tmp_path: Path) -> None:
    mirror = "mirror:" + web.url.replace("http://", "http://me:se%40cret@")
    source = ["--backbone", "./mine.py:Guarded:net", "--weights", mirror]
    args = run_args(*source, "--data", "./mine.py:Photos:https://you:hush-hush@host/photos", "--epochs", "2")
    said = run(*args)
    assert "user, password and query are not written" in said
    assert_nothing_leaked(tmp_path, said)
    config = (tmp_path / "r" / "config.yaml").read_text()
    assert f"mirror:{web.url}\n" in config
    assert "data: ./mine.py:Photos:https://host/photos\n" in config

    resume = ["run", "--resume", "r", "--trust-code"]
    assert "best epoch" in run(*resume)
    for path in (tmp_path / "r").glob("*.pt"):
        path.unlink()
    said = run(*resume)  # it begins again, with the weights in the cache
    assert "best epoch" in said
    assert_nothing_leaked(tmp_path, said)

    for path in [*(tmp_path / "r").glob("*.pt"), tmp_path / "torch" / "hub" / "checkpoints" / "net.pth"]:
        path.unlink()
    assert "it wants a user and password: write USER:PASSWORD@ before the host, or keep them in ~/.netrc" in run(
        *resume, code=2
    )
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password se@cret\n")
    (tmp_path / "netrc").chmod(0o600)
    assert "best epoch" in run(*resume)


def test_a_plan_and_an_error_show_no_password(web: HostileServer, tmp_path: Path) -> None:
    mirror = "mirror:" + web.url.replace("http://", "http://me:hush-hush@")
    flags = run_args("--backbone", "./mine.py:Guarded:net", "--weights", mirror)[1:]
    plan = [*flags, "--data", "./mine.py:Photos:https://host/photos?sig=t0ken"]
    said = run("plan", *plan) + run("plan", *plan, "--json")
    said += run("run", *flags, code=2)
    said += run("weights", "fetch", "./mine.py:Guarded:net", "--from", mirror + "?token=t0ken", code=2)
    said += run("weights", "doctor", "./mine.py:Guarded:net", "--from", mirror, code=1)
    said += run("run", *flags, "--data", "s3://you:hush-hush@bucket?t0ken", code=2)
    assert_nothing_leaked(tmp_path, said)


def test_an_address_that_lost_its_query_is_not_used(web: HostileServer, tmp_path: Path) -> None:
    args = run_args("--data", "./mine.py:Photos:https://host/photos?sig=t0ken", "--epochs", "1")
    assert_nothing_leaked(tmp_path, run(*args))
    said = run("run", "--resume", "r", "--trust-code", code=2)
    assert "what follows '?' in ./mine.py:Photos:https://host/photos?... was not written to the run's folder" in said
