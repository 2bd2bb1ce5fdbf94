"""The built-in sources together, found through their entry point, as a run uses them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch

from ft.config.schema import WeightsConfig
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import WeightEntry
from ft.weights.cache import Cache
from ft.weights.choice import FetchedWeights, choose_weights, fetch_weights
from weight_server import Answer, WeightServer


def saved(value: float) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.full((50,), value)}, buffer)
    return buffer.getvalue()


CONTENT = saved(1)


@pytest.fixture
def entry(web: WeightServer) -> WeightEntry:
    return WeightEntry("V1", "net.pth", web.url + "/official/net.pth", hashlib.sha256(CONTENT).hexdigest()[:8])


def get(config: WeightsConfig, entry: WeightEntry, plugins: Plugins, cache: Cache, mirrors: str = "") -> FetchedWeights:
    choice = choose_weights(config, (entry,), "tv:net", plugins, {"FT_WEIGHT_MIRROR": mirrors})
    assert choice is not None
    return fetch_weights(choice, plugins, cache=cache)


@pytest.fixture
def weight_cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "checkpoints", tmp_path / "records", pauses=())


def test_the_sources_are_installed(plugins: Plugins) -> None:
    ours = [c.name for c in plugins.components("weights") if c.distribution == "ftkit"]
    assert ours == ["fsspec", "gs", "hf", "local", "mirror", "official", "pip", "s3"]


def test_a_mirror_that_fails_is_passed_over_and_noted(
    web: WeightServer, entry: WeightEntry, plugins: Plugins, weight_cache: Cache
) -> None:
    web.put("/a/net.pth", Answer(b"<html>blocked</html>"))
    web.put("/b/net.pth", CONTENT)
    fetched = get(WeightsConfig(), entry, plugins, weight_cache, mirrors=f"{web.url}/a {web.url}/b")
    assert fetched.source == f"mirror:{web.url}/b"
    assert fetched.path.read_bytes() == CONTENT
    assert any("/a/net.pth is no weight file" in note and "web page" in note for note in fetched.notes)
    assert web.asked == ["/a/net.pth", "/b/net.pth"]


def test_a_damaged_file_in_the_cache_is_replaced_from_the_chain(
    web: WeightServer, entry: WeightEntry, plugins: Plugins, weight_cache: Cache
) -> None:
    weight_cache.folder.mkdir()
    (weight_cache.folder / "net.pth").write_bytes(saved(2))
    web.put("/official/net.pth", CONTENT)
    fetched = get(WeightsConfig(), entry, plugins, weight_cache)
    assert (fetched.source, fetched.path.read_bytes()) == ("official", CONTENT)
    assert any(note.startswith("cache: ") and "damaged or not V1" in note for note in fetched.notes)


@pytest.mark.parametrize("use", ["default", "official", "mirror:https://mirror.example"])
def test_offline_a_damaged_file_is_an_error_that_says_both(
    entry: WeightEntry, plugins: Plugins, weight_cache: Cache, use: str
) -> None:
    weight_cache.folder.mkdir()
    (weight_cache.folder / "net.pth").write_bytes(saved(2))
    weight_cache.offline = "FT_OFFLINE=1"
    with pytest.raises(FtError) as raised:
        get(WeightsConfig(use=use), entry, plugins, weight_cache)
    assert str(raised.value).count("damaged or not V1") == 1
    assert "FT_OFFLINE=1, so nothing is fetched" in str(raised.value)
    assert (weight_cache.folder / "net.pth").read_bytes() == saved(2)


def test_offline_with_nothing_at_hand_is_one_error(entry: WeightEntry, plugins: Plugins, weight_cache: Cache) -> None:
    weight_cache.offline = "FT_OFFLINE=1"
    with pytest.raises(FtError, match="could not get the weights V1 of tv:net") as raised:
        get(WeightsConfig(), entry, plugins, weight_cache)
    assert f"put the file there: {weight_cache.folder}/net.pth" in str(raised.value)


def test_a_file_put_into_the_folder_by_hand_is_used_offline(
    entry: WeightEntry, plugins: Plugins, weight_cache: Cache
) -> None:
    weight_cache.folder.mkdir()
    (weight_cache.folder / "net.pth").write_bytes(CONTENT)
    weight_cache.offline = "FT_OFFLINE=1"
    assert get(WeightsConfig(), entry, plugins, weight_cache).source == "cache"


def test_a_named_local_file_is_taken_although_the_cache_has_the_published_one(
    tmp_path: Path, entry: WeightEntry, plugins: Plugins, weight_cache: Cache
) -> None:
    weight_cache.folder.mkdir()
    (weight_cache.folder / "net.pth").write_bytes(CONTENT)
    (tmp_path / "mine.pth").write_bytes(saved(2))
    fetched = get(WeightsConfig(use=f"local:{tmp_path}/mine.pth"), entry, plugins, weight_cache)
    assert fetched.path == tmp_path / "mine.pth"
    assert "not the published one of V1" in fetched.notes[0]
