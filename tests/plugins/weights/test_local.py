from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from ft import FtError, Settings, WeightEntry
from ft.weight_cache import Cache
from ft_weights.local import fetch


def save(path: Path, value: float) -> Path:
    torch.save({"weight": torch.full((50,), value)}, path)
    return path


@pytest.fixture
def weight_cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "checkpoints", tmp_path / "records")


@pytest.fixture
def entry(tmp_path: Path) -> WeightEntry:
    digest = hashlib.sha256(save(tmp_path / "net.pth", 1).read_bytes()).hexdigest()
    (tmp_path / "net.pth").unlink()
    return WeightEntry("V1", "net.pth", sha256=digest[:8])


@pytest.mark.parametrize("name", ["mine.pth", "mine.pt", "net.pth"])
def test_a_named_file_may_be_ones_own(tmp_path: Path, entry: WeightEntry, weight_cache: Cache, name: str) -> None:
    mine = save(tmp_path / name, 2)
    assert fetch(entry, str(mine), Settings(), weight_cache) == mine


def test_a_path_may_begin_at_home(
    tmp_path: Path, entry: WeightEntry, weight_cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "mine.pth", 2)
    assert fetch(entry, "~/mine.pth", Settings(), weight_cache) == tmp_path / "mine.pth"


def test_the_published_file_is_found_in_a_folder(tmp_path: Path, entry: WeightEntry, weight_cache: Cache) -> None:
    save(tmp_path / "net.pth", 1)
    assert fetch(entry, str(tmp_path), Settings(), weight_cache) == tmp_path / "net.pth"


def test_another_file_of_that_name_in_a_folder_is_an_error(
    tmp_path: Path, entry: WeightEntry, weight_cache: Cache
) -> None:
    save(tmp_path / "net.pth", 2)
    with pytest.raises(FtError, match=f"net.pth is damaged or not V1: sha256 is .*, should be {entry.sha256}"):
        fetch(entry, str(tmp_path), Settings(), weight_cache)


def test_a_folder_without_it_is_an_error_that_lists_what_is_there(
    tmp_path: Path, entry: WeightEntry, weight_cache: Cache
) -> None:
    save(tmp_path / "a.pth", 1)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FtError, match=r"there is no net.pth in .*Weight files there: a.pth. Name one of them"):
        fetch(entry, str(tmp_path), Settings(), weight_cache)


@pytest.mark.parametrize("argument", [None, ""])
def test_a_missing_path_is_an_error(entry: WeightEntry, weight_cache: Cache, argument: str | None) -> None:
    with pytest.raises(FtError, match=r"as in local:./resnet50.pth"):
        fetch(entry, argument, Settings(), weight_cache)


def test_a_file_that_is_not_there_is_an_error_that_lists_its_neighbours(
    tmp_path: Path, entry: WeightEntry, weight_cache: Cache
) -> None:
    save(tmp_path / "a.pth", 1)
    with pytest.raises(FtError, match=r"no file or folder .*/b.pth. Weight files there: a.pth"):
        fetch(entry, str(tmp_path / "b.pth"), Settings(), weight_cache)
    with pytest.raises(FtError, match=r"Weight files there: none"):
        fetch(entry, str(tmp_path / "none" / "b.pth"), Settings(), weight_cache)


def test_a_file_of_another_kind_is_an_error(tmp_path: Path, entry: WeightEntry, weight_cache: Cache) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(FtError, match=r"net.onnx is no weight file; ft reads .pth, .pt, .safetensors"):
        fetch(entry, str(tmp_path / "net.onnx"), Settings(), weight_cache)
