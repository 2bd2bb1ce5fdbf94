"""Many processes, killed and at once: nothing wrong is published, little is fetched twice, nothing is left behind."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.hostile_server import HostileServer, hostile_server, serve
from faults.repetitions import times

# Enough to pass for the older format of torch.save; the digest says the rest.
CONTENT = b"\x80" + random.Random(0).randbytes(16_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KILLS_PER_FILE = 4
FETCH = """
import sys, time
from pathlib import Path
url, folder, digest, flock, go = sys.argv[1:]
if flock == "no-op":
    import fcntl
    fcntl.flock = lambda *_: None
from ft import WeightEntry
from ft.weights.cache import Cache
cache = Cache(Path(folder) / "checkpoints", Path(folder) / "records")
while go and not Path(go).exists():
    time.sleep(0.01)
print(cache.download(WeightEntry("V1", "net.pth", sha256=digest), url))
"""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    for name in ("FT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with hostile_server(CONTENT, {"net.pth": serve}) as server:
        yield server


def fetch(web: HostileServer, folder: Path, flock: str = "works", go: str = "") -> subprocess.Popen[str]:
    arguments = [f"{web.url}/net.pth", str(folder), DIGEST, flock, go]
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_kills_while_fetching_publish_nothing_bad_and_cost_few_bytes(
    web: HostileServer, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    web.pause = 0.002
    rng, kills, fetched = random.Random(1), 0, 0
    while kills < times(200, 8):
        folder = tmp_path / str(fetched)
        path = folder / "checkpoints" / "net.pth"
        for _ in range(KILLS_PER_FILE):
            asked, process = web.asked["net.pth"], fetch(web, folder)
            while web.asked["net.pth"] == asked and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.3))
            kills += process.poll() is None
            process.kill()
            process.communicate()
            assert not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() == DIGEST
        assert finished(fetch(web, folder)) == str(path)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == DIGEST
        left = [name for name in files(folder) if name != "checkpoints/net.pth" and not name.startswith("locks/")]
        assert [name.partition(".")[0] for name in left] == ["records/net"], left
        fetched += 1
    ratio = web.sent / (fetched * len(CONTENT))
    record_property("kills", kills)
    record_property("bytes sent over bytes needed", ratio)
    print(f"\n{kills} kills, {fetched} files of {len(CONTENT)} bytes: {ratio:.4f} times the bytes, no orphans")
    assert ratio <= 1.1  # what lay in sockets when a process was killed, which is more on a busy machine


@pytest.mark.parametrize("flock", ["works", "no-op"])
def test_processes_that_want_one_file_all_get_it(web: HostileServer, tmp_path: Path, flock: str) -> None:
    web.pause = 0.002
    number, go = times(16, 4), tmp_path / "go"
    processes = [fetch(web, tmp_path, flock, str(go)) for _ in range(number)]
    time.sleep(1.0)
    go.touch()
    path = tmp_path / "checkpoints" / "net.pth"
    assert [finished(process) for process in processes] == [str(path)] * number
    assert hashlib.sha256(path.read_bytes()).hexdigest() == DIGEST
    assert files(tmp_path / "checkpoints") == ["net.pth"]
    print(f"\n{number} processes, flock {flock}: {web.asked['net.pth']} GET, {number} right files")
    if flock == "works":
        assert web.asked["net.pth"] == 1
