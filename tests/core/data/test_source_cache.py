"""The folder of a data source: given to whoever asks for it, and what is made there is whole or not there."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ft import DataCache, FtError, Sample
from ft.data.source_cache import SourceFolder, load_samples
from ft.extension.extensions import DataSource
from ft.extension.installed import Component
from ft.extension.kinds import KINDS
from ft.machine.files import DiskFull, temporary_beside


def component(load: Any, distribution: str = "test-dist", version: str = "1.0") -> Component:
    return Component(KINDS["data"], DataSource("given", "for a test", load=load), distribution, version)


def folder_of(distribution: str = "test-dist", version: str = "1.0") -> Path:
    def load(argument: str | None, settings: Any, cache: DataCache) -> list[Path]:
        assert cache.folder.is_dir()
        return [cache.folder]

    (folder,) = load_samples(component(load, distribution, version), None, None)
    return folder  # type: ignore[no-any-return]


def test_a_load_of_two_arguments_is_called_as_it_always_was() -> None:
    asked = []

    def load(argument: str | None, settings: Any, *rest: Any) -> list[Sample]:
        asked.append((argument, settings, rest))
        return []

    assert load_samples(component(load), "x", 3) == []
    assert asked == [("x", 3, ())]


def test_each_source_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert folder_of() == tmp_path / "data" / "test-dist" / "given"
    one = folder_of("./my_data.py", "not packaged")
    assert one.parent.name.startswith("my_data-")
    assert folder_of(str(tmp_path / "my_data.py"), "not packaged") == one
    assert folder_of("./other/my_data.py", "not packaged") != one


@pytest.mark.parametrize("value", ["", "1"])
def test_a_source_is_told_that_the_network_is_forbidden(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    def load(argument: str | None, settings: Any, cache: DataCache) -> list[str]:
        return [cache.offline]

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("FT_OFFLINE", value)
    assert load_samples(component(load), None, None) == (["FT_OFFLINE=1"] if value else [""])


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "file"))
    with pytest.raises(FtError, match=r"cannot write .*/file/data/test-dist/given"):
        folder_of()


# Making


def test_a_file_or_a_folder_is_made_once(tmp_path: Path) -> None:
    cache = SourceFolder(tmp_path)
    assert cache.make("a.txt", lambda path: path.write_text("whole")).read_text() == "whole"
    assert cache.make("a.txt", lambda path: path.write_text("other")).read_text() == "whole"
    assert cache.make("folder", Path.mkdir) == tmp_path / "folder"
    assert cache.make("folder", Path.mkdir).is_dir()


def test_what_was_not_finished_is_not_there_and_leaves_nothing(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.mkdir()
        (path / "1.jpg").touch()
        raise ConnectionResetError("the server hung up")

    with pytest.raises(ConnectionResetError, match="hung up"):
        SourceFolder(tmp_path).make("folder", half)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = temporary_beside(tmp_path / "folder", pid=0)
    left.mkdir()
    (left / "1.jpg").touch()
    SourceFolder(tmp_path).make("folder", Path.mkdir)
    assert not left.exists()


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match="the disk is full"):
        SourceFolder(tmp_path).make("folder", full)


def test_of_two_at_once_one_makes_it_and_the_other_waits(tmp_path: Path) -> None:
    made, begun = [], threading.Event()

    def slowly(path: Path) -> None:
        begun.set()
        time.sleep(0.2)
        made.append(path.write_text("first"))

    first = threading.Thread(target=lambda: SourceFolder(tmp_path).make("a", slowly))
    first.start()
    begun.wait()
    second = SourceFolder(tmp_path).make("a", lambda path: made.append(path.write_text("second")))
    first.join()
    assert (second.read_text(), len(made)) == ("first", 1)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a\0b", "/etc"])
def test_a_name_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(FtError, match="must be plain"):
        SourceFolder(tmp_path / "cache").make(name, Path.touch)
