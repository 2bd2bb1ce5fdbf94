from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from ft.errors import FtError
from ft.machine.files import cache_folder, publish, publish_bytes, publish_json, publish_text, sha256_of


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_published_content_is_whole_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    target = tmp_path / "made" / "on the way" / "weights.pth"
    with publish(target) as file:
        file.write(b"one")
        assert not target.exists()
        file.write(b"two")
    assert target.read_bytes() == b"onetwo"
    assert names(target.parent) == ["weights.pth"]


@given(pieces=st.lists(st.binary(max_size=64), min_size=1, max_size=8), data=st.data(), existed=st.booleans())
def test_a_crash_at_any_write_leaves_the_old_content(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], data: st.DataObject, existed: bool
) -> None:
    target = tmp_path_factory.mktemp("publish") / "file"
    if existed:
        target.write_bytes(b"old")
    crash_at = data.draw(st.integers(0, len(pieces)))
    raised = data.draw(st.sampled_from([KeyboardInterrupt, SystemExit, ValueError, MemoryError]))

    def write() -> None:
        with publish(target) as file:
            for number, piece in enumerate(pieces):
                if number == crash_at:
                    raise raised
                file.write(piece)
            raise raised

    with pytest.raises(raised):
        write()
    assert names(target.parent) == (["file"] if existed else [])
    assert not existed or target.read_bytes() == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_while_publishing_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_content_and_folder_are_on_the_disk_before_and_after_the_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def seen_replace(*paths: Any) -> None:
        steps.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    publish_bytes(tmp_path / "file", b"new")
    assert steps == ["sync file", "replace", "sync folder"]


def test_a_refused_check_publishes_nothing(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def check(path: Path) -> None:
        seen.append(path.read_bytes())
        raise FtError("no")

    with pytest.raises(FtError, match="no"), publish(tmp_path / "file", check=check) as file:
        file.write(b"content")
    assert seen == [b"content"]
    assert names(tmp_path) == []


def test_writers_at_the_same_time_each_publish_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    contents = {bytes([number]) * 100_000 for number in range(8)}
    threads = [threading.Thread(target=publish_bytes, args=(target, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() in contents
    assert names(tmp_path) == ["file"]


def test_published_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    publish_text(tmp_path / "published", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "published").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    expected = r"disk is full: .*file needs \d+.0 GB and .* [MG]B are free"
    with pytest.raises(FtError, match=expected), publish(tmp_path / "file", size=10**18):
        pytest.fail("the block must not run")
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_is_told_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"disk is full: .*file"), publish(tmp_path / "file", size=10):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_under_torch_save_is_told_as_that(tmp_path: Path) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FtError, match="disk is full"), publish(tmp_path / "file"):
        torch.save({"a": torch.zeros(3)}, Full())  # type: ignore[arg-type]
    assert names(tmp_path) == []


def test_other_errors_of_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), publish(tmp_path / "file"):
        raise ConnectionResetError


def test_an_error_stays_what_it_is_where_the_disk_lets_nothing_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(KeyError, match="mine"), publish(tmp_path / "file"):
        raise KeyError("mine")


def test_where_nobody_is_at_home_a_folder_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: None)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(FtError, match=r"there is no home directory, which ~/.cache/ft begins with; set FT_CACHE to a"):
        cache_folder({})


def test_a_folder_that_cannot_be_made_is_told_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FtError, match=r"cannot write .*inside: "):
        publish_text(tmp_path / "file" / "inside", "x")


def test_text_and_json_are_utf8(tmp_path: Path) -> None:
    publish_text(tmp_path / "text", "chat\u00eau\n")
    publish_json(tmp_path / "json", {"classes": ["\u732b"]})
    assert (tmp_path / "text").read_bytes() == b"chat\xc3\xaau\n"
    assert json.loads((tmp_path / "json").read_bytes()) == {"classes": ["\u732b"]}
    assert "\u732b" in (tmp_path / "json").read_text(encoding="utf-8")


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    publish_bytes(tmp_path / "file", b"abc")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(FtError, match=r"cannot read .*missing: No such file"):
        sha256_of(tmp_path / "missing")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"FT_CACHE": "/a"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/ft"),
        ({"FT_CACHE": "", "XDG_CACHE_HOME": ""}, "~/.cache/ft"),
        ({}, "~/.cache/ft"),
    ],
)
def test_the_cache_folder_follows_the_environment(environ: dict[str, str], expected: str) -> None:
    assert cache_folder(environ) == Path(expected).expanduser()
