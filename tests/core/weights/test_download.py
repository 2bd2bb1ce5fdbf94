"""What arrived is gone on with, by a later process too, where that is safe."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.hostile_server import HostileServer, hostile_server, serve
from ft.errors import FtError
from ft.machine.files import left_behind, sweep, temporary_beside
from ft.weights.download import Wanted, download
from ft.weights.partial import take_up

CONTENT = random.Random(0).randbytes(1_000_000)
CUT = 300_000


@pytest.fixture
def web() -> Iterator[HostileServer]:
    with hostile_server(CONTENT, {"net.pth": lambda r: serve(r, most=CUT if r.number == 1 else None)}) as server:
        yield server


def stopped(web: HostileServer, path: Path, has_digest: bool = True) -> list[Path]:
    """Fetch a part, as a process that is stopped; return what it left."""
    with pytest.raises(FtError, match="tried 1 times"):
        download(Wanted(f"{web.url}/net.pth", has_digest=has_digest), path, lambda _: None, pauses=())
    return sorted(path.parent.iterdir())


def test_a_later_try_goes_on(web: HostileServer, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    part, sidecar = stopped(web, path)
    assert (part.read_bytes(), sidecar.name) == (CONTENT[:CUT], part.name + ".json")
    download(Wanted(f"{web.url}/net.pth"), path, lambda _: None)
    assert path.read_bytes() == CONTENT
    assert web.sent == len(CONTENT)
    assert list(tmp_path.iterdir()) == [path]


def test_what_nobody_could_verify_is_not_gone_on_with(web: HostileServer, tmp_path: Path) -> None:
    assert stopped(web, tmp_path / "net.pth", has_digest=False) == []


def test_a_wrong_byte_in_what_was_left_is_found_and_all_fetched_anew(web: HostileServer, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    part, _ = stopped(web, path)
    part.write_bytes(bytes(CUT))

    def check(arrived: Path) -> None:
        if arrived.read_bytes() != CONTENT:
            raise FtError("wrong")

    download(Wanted(f"{web.url}/net.pth"), path, check, pauses=(0.0,))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("spoil", ["sidecar gone", "sidecar garbage", "other url", "too long"])
def test_what_does_not_fit_is_left_alone_or_thrown_away(web: HostileServer, tmp_path: Path, spoil: str) -> None:
    path, url = tmp_path / "net.pth", f"{web.url}/net.pth"
    part, sidecar = stopped(web, path)
    if spoil == "sidecar gone":
        sidecar.unlink()
    elif spoil == "sidecar garbage":
        sidecar.write_text("{")
    elif spoil == "too long":
        part.write_bytes(CONTENT + b"x")
    else:
        url += "?other"
    download(Wanted(url), path, lambda _: None)
    assert path.read_bytes() == CONTENT
    assert web.headers[-1].get("Range") is None
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_whole_when_the_process_was_killed_is_not_asked_for_again(
    web: HostileServer, tmp_path: Path
) -> None:
    path = tmp_path / "net.pth"
    part, _ = stopped(web, path)
    part.write_bytes(CONTENT)
    download(Wanted(f"{web.url}/net.pth"), path, lambda _: None)
    assert path.read_bytes() == CONTENT
    assert web.asked["net.pth"] == 1


def test_of_two_that_want_what_was_left_one_has_it(web: HostileServer, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    part, sidecar = stopped(web, path)
    key = json.loads(sidecar.read_text())["key"]
    first, second = take_up(path, key, True), take_up(path, key, True)
    assert (first.done, second.done) == (CUT, 0)
    first.discard()
    assert not part.exists()


def test_only_what_no_living_process_writes_counts_as_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    own, nobodys = temporary_beside(path), temporary_beside(path, ".part", pid=0)
    parent, other = temporary_beside(path, pid=os.getppid()), temporary_beside(tmp_path / "other.pth", pid=0)
    host, _, process, _ = own.name.removeprefix(".net.pth.").split("-")
    elsewhere = own.with_name(own.name.replace(host, "ffffff"))
    earlier = own.with_name(own.name.replace(process, "aaaaaa"))
    for each in (own, nobodys, parent, other, elsewhere, earlier, tmp_path / ".net.pth.tmp"):
        each.touch()
    assert set(left_behind(tmp_path, "net.pth")) == {nobodys, earlier}
    os.utime(elsewhere, (0, 0))
    sweep(path)
    assert set(tmp_path.iterdir()) == {own, parent, other, tmp_path / ".net.pth.tmp"}
