from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ft import FtError, Settings, WeightEntry
from ft.weights.bundle import Bundled, write_bundle
from ft.weights.cache import Cache
from ft_weights.local import fetch, is_here


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
    with pytest.raises(FtError, match=r"no file or folder .*/b.pth. Did you mean 'a.pth'\? Weight files there: a.pth"):
        fetch(entry, str(tmp_path / "b.pth"), Settings(), weight_cache)
    with pytest.raises(FtError, match=r"Weight files there: none"):
        fetch(entry, str(tmp_path / "none" / "b.pth"), Settings(), weight_cache)
    there = {name: is_here(entry, name) for name in (f"{tmp_path}/a.pth", f"{tmp_path}/b.pth", str(tmp_path), "")}
    assert list(there.values()) == [True, False, True, False]


@pytest.mark.parametrize("name", ["net.ckpt", "checkpoint.pth.tar", "net", "net.zip", "pytorch_model.bin"])
def test_a_weight_file_may_have_any_name(tmp_path: Path, entry: WeightEntry, weight_cache: Cache, name: str) -> None:
    mine = save(tmp_path / name, 2)
    assert fetch(entry, str(mine), Settings(), weight_cache) == mine


@pytest.mark.parametrize("name", ["bundle.zip", "bundle.weights"])
def test_a_bundle_may_have_any_name(tmp_path: Path, entry: WeightEntry, weight_cache: Cache, name: str) -> None:
    content = save(tmp_path / "net.pth", 1)
    digest = hashlib.sha256(content.read_bytes()).hexdigest()
    write_bundle(tmp_path / name, {Bundled("net.pth", content.stat().st_size, digest, "m", "V1"): content})
    assert fetch(entry, str(tmp_path / name), Settings(), weight_cache) == weight_cache.folder / "net.pth"


def test_a_zip_of_other_things_is_told_as_no_bundle(tmp_path: Path, entry: WeightEntry, weight_cache: Cache) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("cat.jpg", b"...")
    with pytest.raises(FtError, match=r"photos\.zip"):
        fetch(entry, str(tmp_path / "photos.zip"), Settings(), weight_cache)


def test_a_run_gives_its_weights(tmp_path: Path, entry: WeightEntry, weight_cache: Cache) -> None:
    (tmp_path / "config.yaml").write_text("backbone: a:b")
    with pytest.raises(FtError, match=r"is not finished; finish it with: ft run --resume"):
        fetch(entry, str(tmp_path), Settings(), weight_cache)
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")
    assert fetch(entry, str(tmp_path), Settings(), weight_cache) == tmp_path / "model.safetensors"


def test_neighbours_are_listed_by_all_usual_names(tmp_path: Path, entry: WeightEntry, weight_cache: Cache) -> None:
    for name in ("a.ckpt", "b.pth.tar", "notes.tar"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(FtError, match=r"Weight files there: a\.ckpt, b\.pth\.tar\. Name one"):
        fetch(entry, str(tmp_path), Settings(), weight_cache)
