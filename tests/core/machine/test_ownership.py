from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from ft.cache.rows import Shape
from ft.cache.store import FeatureStore
from ft.data.known_files import Known, recall, remember
from ft.machine.ownership import others_can_change, strange_cache

SHAPES = (Shape((2,), "float32"),)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(10**6, tmp_path / "features")
    with store.write("key", SHAPES, 1, {}) as writer:
        writer.put(0, (torch.ones(1, 2),))
    return store


def as_user(monkeypatch: pytest.MonkeyPatch, user: int, groups: list[int]) -> None:
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "getgid", lambda: groups[0])
    monkeypatch.setattr(os, "getgroups", lambda: groups)


def test_what_everybody_can_write_to_is_said_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert others_can_change(tmp_path / "file") == ""
    (tmp_path / "file").chmod(0o646)
    assert others_can_change(tmp_path / "file").endswith(f"chmod o-w {tmp_path / 'file'}")
    assert others_can_change(tmp_path / "nothing") == ""
    tmp_path.chmod(0o1777)  # as /tmp has it: others can add, but not replace
    assert others_can_change(tmp_path) == ""


def test_a_group_shares_on_purpose_and_a_stranger_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    owner, group = os.getuid(), (tmp_path / "file").stat().st_gid
    found = os.stat

    def another(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        real = list(found(path, *args, **kwargs))
        real[4] = owner + 1000  # the user that it belongs to
        return os.stat_result(real)

    monkeypatch.setattr(os, "stat", another)
    as_user(monkeypatch, owner + 7, [group])
    assert "belongs to another user" in others_can_change(tmp_path / "file")
    tmp_path.chmod(0o770)
    assert others_can_change(tmp_path / "file") == ""
    as_user(monkeypatch, owner + 7, [group + 1])
    assert "belongs to another user" in others_can_change(tmp_path / "file")


@pytest.mark.parametrize("which", ["", "key.json", "key.safetensors"])
def test_features_that_others_could_have_written_are_not_used(which: str, store: FeatureStore) -> None:
    assert store.find("key") is not None
    (store.folder / which).chmod(0o777)
    assert store.find("key") is None
    if not which:
        assert store.obstacle(10).endswith(f"chmod o-w {store.folder}; or set FT_CACHE to another folder")


@pytest.mark.slow
def test_a_run_that_others_can_change_is_said(ft: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r").chmod(0o777)
    (tmp_path / "a.png").touch()
    for args in (("predict", "r", "a.png"), ("run", "--resume", "r"), ("run", "--locked", "r")):
        said = ft(*args, fails=True).output
        assert said.count("everybody on this machine can write to") == 1, args


@pytest.mark.parametrize("kind", ["features", "known", "paces"])
@pytest.mark.parametrize("which", ["", "one.json"])
def test_what_others_could_have_kept_is_said_in_one_line(
    kind: str, which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path))
    for name in ("features", "known", "paces"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.json").touch()
    assert strange_cache() == []
    (tmp_path / kind / which).chmod(0o777)
    (said,) = strange_cache()
    assert said.startswith("what is kept is not believed, and made anew: ")
    assert said.endswith(f"chmod o-w {tmp_path / kind / which}")


@pytest.mark.parametrize("which", ["", "net.pth"])
def test_weights_without_a_digest_that_others_can_change_are_said(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "net.pth").touch()
    assert strange_cache(tmp_path / "hub" / "net.pth") == []
    (tmp_path / "hub" / which).chmod(0o777)
    (said,) = strange_cache(tmp_path / "hub" / "net.pth")
    assert "no digest is published for net.pth" in said
    assert f"chmod o-w {tmp_path / 'hub' / which}" in said
    assert strange_cache() == []


@pytest.mark.parametrize("which", ["", "owner", "owner/source"])
def test_what_data_sources_keep_is_said_where_others_can_change_it(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path))
    (tmp_path / "data" / "owner" / "source").mkdir(parents=True)
    assert strange_cache() == []
    (tmp_path / "data" / which).chmod(0o777)
    (said,) = strange_cache()
    assert said.endswith(f"chmod o-w {tmp_path / 'data' / which}")


def test_digests_that_others_could_have_written_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path))
    remember("photos", "reader", Known({"a.png": "00"}, {"a.png": "1 2 3 4"}), 1)
    assert recall("photos", "reader").digests == {"a.png": "00"}
    (tmp_path / "known").chmod(0o777)
    assert recall("photos", "reader") == Known()


def test_a_plan_says_once_that_others_can_change_the_cache(
    ft: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "known").mkdir(parents=True)
    (tmp_path / "cache" / "known").chmod(0o777)
    said = ft("plan", "--backbone", "torchvision:squeezenet1_1", "--weights", "none", "--image-size", "32").output
    assert said.count(f"chmod o-w {tmp_path / 'cache' / 'known'}") == 1
