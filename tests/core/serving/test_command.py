"""`ft serve` as it is typed: what it says, what it refuses in one line, and how it ends."""

from __future__ import annotations

import importlib.util
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import Result

import warm_python
from faults.repetitions import FULL
from serving import Client, image

Ft = Callable[..., Result]
MAIN = "from ft.cli import main; main()"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def started(run: Path, cwd: Path, *flags: str) -> tuple[warm_python.WarmProcess, Client]:
    """A process that serves, once it answers."""
    port = free_port()
    process = warm_python.start(MAIN, ("serve", str(run), "--port", str(port), "--trust-code", *flags), cwd)
    client, end = Client(f"http://127.0.0.1:{port}"), time.monotonic() + 240
    while True:
        try:
            assert client.get("/health").json()["status"] == "ok"
            return process, client
        except (requests.ConnectionError, requests.Timeout):  # somebody listens while several processes load
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(process.communicate()) from None
            time.sleep(0.05)


@pytest.mark.slow
def test_sigterm_answers_what_has_come_and_ends_with_0(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    process, client = started(run_of("classification"), tmp_path)
    with ThreadPoolExecutor(8) as threads:
        content = image(100, (2000, 2000), "JPEG")
        asked = [threads.submit(client.post, "/predict", *[content] * 2) for _ in range(6)]
        while client.get("/health").json()["waiting"] == 0:
            pass
        process.send_signal(signal.SIGTERM)
        found = [each for each in asked if each.exception() is None]
    assert process.wait(60) == 0
    out, err = process.communicate()
    assert [each.result().status_code for each in found] == [200] * len(found)
    assert found, "those that had come were answered"
    for each in asked:  # the others found nobody who listens
        assert each.exception() is None or isinstance(each.exception(), requests.ConnectionError)
    assert out.startswith(f"{client.address}  serves {run_of('classification')} (classification by ")
    assert err.splitlines()[-1] == "stopped; what had come was answered"
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.skipif(not FULL, reason="three processes that import torch: make faults")
def test_several_processes_share_a_port_and_count_together(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    process, client = started(run_of("classification"), tmp_path, "--workers", "2")
    with ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(client.body, "/predict", image(value)) for value in range(100)]
        assert {each.result().status_code for each in asked} == {200}
    assert client.counted('ft_requests_total{path="/predict",status="200"}') == 100
    assert client.counted("ft_images_total") == 100
    assert client.counted("ft_images_waiting") == 0
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, err.splitlines()[-1]) == (0, "stopped; what had come was answered")
    assert "2 processes" in out


def test_what_cannot_be_served_is_one_line(ft: Ft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()

    def said(*args: str) -> str:
        return str(ft("serve", *args, fails=True).exception)

    assert said("empty", "--port", "0") == "empty holds no model.json, so it is no finished run; see ft run --resume"
    assert "nothing" in said("nothing", "--port", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert said("empty", "--port", port) == (
            f"port {port} of 127.0.0.1 is in use; give another by --port, or --port 0 for any that is free"
        )
    assert "cannot listen at port 8000 of --host no.host.invalid" in said("empty", "--host", "no.host.invalid")
    assert "would never find room where 3 may wait" in said("empty", "--max-waiting", "3")
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr("ft.cli.serve.find_spec", lambda name: None if name == "fastapi" else find(name))
    assert said("empty") == "ft serve takes fastapi, which is not installed: pip install 'ftkit[serve]'"
