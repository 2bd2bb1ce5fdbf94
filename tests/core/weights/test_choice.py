from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ft.config.schema import WeightsConfig
from ft.errors import FtError
from ft.extension.extensions import WeightSource
from ft.extension.installed import Component, Plugin, Plugins
from ft.extension.kinds import KINDS
from ft.extension.records import WeightEntry
from ft.extension.settings import Settings
from ft.weights.cache import Cache
from ft.weights.choice import FetchedWeights, WeightChoice, choose_weights, fetch_weights, unverified

V1 = WeightEntry("IMAGENET1K_V1", "net-v1.pth", size=44_700_000)
V2 = WeightEntry("IMAGENET1K_V2", "net-v2.pth", source="pip:some-package")
BOTH = (V1, V2)


def content() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.ones(3)}, buffer)
    return buffer.getvalue()


CONTENT = content()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def plugins_with(**sources: Any) -> Plugins:
    """Plugins whose weight sources are these functions or records; the usual four are there and always fail."""

    def fails(entry: WeightEntry, argument: str | None, settings: Any, cache: Any) -> Path:
        raise FtError(f"no {entry.file_name} at {argument}")

    records = dict.fromkeys(("official", "mirror", "local", "pip"), fails) | sources
    components = tuple(
        Component(KINDS["weights"], r if isinstance(r, WeightSource) else WeightSource(name, name, r), "dist", "1")
        for name, r in records.items()
    )
    return Plugins((Plugin("x", "x", "dist", "1", "ok", components=components),))


def choose(use: str = "default", entries: tuple[WeightEntry, ...] = BOTH, **more: Any) -> WeightChoice:
    environ = more.pop("environ", {})
    plugins = more.pop("plugins", plugins_with())
    config = WeightsConfig.model_validate({"use": use, **more})
    choice = choose_weights(config, entries, "torchvision:net", plugins, environ)
    assert choice is not None
    return choice


@pytest.fixture
def weight_cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "checkpoints", tmp_path / "records")


@pytest.fixture
def gives(tmp_path: Path) -> Callable[..., Path]:
    """A source that has the file."""

    def fetch(entry: WeightEntry, argument: str | None, settings: Any, cache: Any) -> Path:
        path = tmp_path / "given.pth"
        path.write_bytes(CONTENT)
        return path

    return fetch


def fetch(choice: WeightChoice, cache: Cache, **sources: Any) -> FetchedWeights:
    return fetch_weights(choice, plugins_with(**sources), cache=cache)


# Choosing


def test_what_no_digest_tells_lies_in_the_cache_and_is_pinned_by_one(weight_cache: Cache) -> None:
    assert unverified(choose(), weight_cache) == weight_cache.folder / "net-v1.pth"
    assert unverified(choose(sha256="12345678"), weight_cache) is None
    assert unverified(choose("local:x.pth"), weight_cache) is None
    assert unverified(None, weight_cache) is None


def test_none_means_random_weights() -> None:
    assert choose_weights(WeightsConfig(use="none"), BOTH, "m", plugins_with(), {}) is None


@pytest.mark.parametrize("key", [{"sha256": "f37072fd"}, {"sources": ["mirror:https://m.example"]}, {"sorces": []}])
def test_what_random_weights_have_no_use_for_is_an_error(key: dict[str, Any]) -> None:
    config = WeightsConfig.model_validate({"use": "none", **key})
    with pytest.raises(FtError, match=rf"weights\.{next(iter(key))} has no effect with weights 'none'"):
        choose_weights(config, BOTH, "m", plugins_with(), {})


def test_default_is_the_first_entry_and_a_name_its_own() -> None:
    assert choose("default").entry == V1
    assert choose("IMAGENET1K_V2").entry == V2


def test_the_chain_is_cache_then_config_then_mirrors_then_the_entrys_own_source() -> None:
    choice = choose(
        "IMAGENET1K_V2",
        sources=["local:/weights", "official"],
        environ={"FT_WEIGHT_MIRROR": " https://a.example/x,\thttps://b.example "},
    )
    assert choice.cache_first
    assert choice.sources == (
        "local:/weights",
        "official",
        "mirror:https://a.example/x",
        "mirror:https://b.example",
        "pip:some-package",
    )


def test_a_source_named_twice_is_asked_once() -> None:
    assert choose("default", sources=["official", "local:x", "official"]).sources == ("official", "local:x")


@pytest.mark.parametrize("use", ["local:x.pth", "mirror:https://m.example", "official", "pip:package"])
def test_a_named_source_is_the_only_place(use: str) -> None:
    choice = choose(use, environ={"FT_WEIGHT_MIRROR": "https://a.example"})
    assert (choice.entry, choice.sources, choice.cache_first) == (V1, (use,), False)


def test_sources_beside_a_named_source_are_said_to_be_unused() -> None:
    assert "weights.sources are not asked" in choose("local:x.pth", sources=["official"]).notes[0]


def test_a_file_of_ones_own_serves_a_model_that_publishes_none() -> None:
    choice = choose("local:x.pth", entries=())
    assert not choice.published
    assert choice.entry.file_name == "net.pth"


def test_default_of_a_model_that_publishes_none_is_an_error() -> None:
    with pytest.raises(FtError, match="torchvision:net publishes no weights; use --weights none, or local:PATH"):
        choose("default", entries=())


@pytest.mark.parametrize(
    ("use", "hint"),
    [
        ("imagenet1k_v2", "Did you mean IMAGENET1K_V2"),
        ("offical", "Did you mean official"),
        ("mirrors:https://m.example", "Did you mean mirror"),
        ("./resnet.pth", "For a file write local:./resnet.pth"),
        ("resnet.safetensors", "For a file write local:resnet.safetensors"),
        ("zzz", r"Weights: IMAGENET1K_V1, IMAGENET1K_V2. Sources: local, mirror, official, pip"),
    ],
)
def test_an_unknown_word_is_answered_with_what_comes_near(use: str, hint: str) -> None:
    with pytest.raises(FtError, match=f"torchvision:net has no weights named '{use}'.*{hint}"):
        choose(use)


def test_an_unknown_source_in_the_chain_is_an_error_before_anything_is_asked() -> None:
    with pytest.raises(FtError, match="no weight source named 'offical'"):
        choose("default", sources=["offical"])


def test_settings_beside_an_entry_are_unknown_and_beside_a_source_are_its_own(
    weight_cache: Cache, gives: Callable[..., Path]
) -> None:
    class Lab(Settings):
        shelf: int

    def fetch_from(entry: WeightEntry, argument: str | None, settings: Lab, cache: Any) -> Path:
        assert settings.shelf == 3
        return gives(entry, argument, settings, cache)

    lab = WeightSource("lab", "x", fetch_from, settings=Lab)
    with pytest.raises(
        FtError, match=r"unknown setting 'weights.shelf'. Beside an entry it takes: sources, key, sha256"
    ):
        choose("default", shelf=3)
    with pytest.raises(FtError, match=r"unknown setting 'weights.source'. Did you mean 'sources'"):
        choose("default", source="x")
    slip = r"(?s)'weights.sha'.*weights itself takes: sources, key, sha256\. Did you mean 'sha256'\?"
    with pytest.raises(FtError, match=slip):
        choose("lab:x", plugins=plugins_with(lab=lab), shelf=3, sha="12345678")
    choice = choose("lab", shelf=3, plugins=plugins_with(lab=lab))
    assert fetch(choice, weight_cache, lab=lab).source == "lab"


def test_the_plan_says_where_weights_lie_or_will_come_from(weight_cache: Cache) -> None:
    choice = choose("default", sources=["mirror:https://m.example"])
    assert choice.describe(weight_cache) == "IMAGENET1K_V1 (44.7 MB) from mirror:https://m.example, else official"
    weight_cache.folder.mkdir()
    (weight_cache.folder / "net-v1.pth").write_bytes(b"x" * 100_000)
    assert choice.describe(weight_cache) == f"IMAGENET1K_V1, cached: {weight_cache.folder}/net-v1.pth (0.1 MB)"
    own = "from local:x.pth: IMAGENET1K_V1, or a file of your own"
    assert choose("local:x.pth").describe(weight_cache) == own


@pytest.mark.parametrize("use", ["default", "local:folder", "official"])
@pytest.mark.parametrize("name", ["../net.pth", "/etc/net.pth", ""])
def test_no_source_is_given_a_file_name_that_leads_out_of_its_folder(use: str, name: str) -> None:
    with pytest.raises(FtError, match="plain name without folders"):
        choose(use, entries=(dataclasses.replace(V1, file_name=name),))


# Fetching


def test_the_cache_is_asked_first(weight_cache: Cache) -> None:
    weight_cache.folder.mkdir()
    (weight_cache.folder / "net-v2.pth").write_bytes(CONTENT)
    fetched = fetch(choose("IMAGENET1K_V2"), weight_cache)
    assert (fetched.source, fetched.sha256) == ("cache", DIGEST)
    assert fetched.path == weight_cache.folder / "net-v2.pth"


def test_a_named_source_is_asked_although_the_cache_has_a_file(weight_cache: Cache, gives: Callable[..., Path]) -> None:
    weight_cache.folder.mkdir()
    (weight_cache.folder / "net-v1.pth").write_bytes(CONTENT)
    assert fetch(choose("local:x"), weight_cache, local=gives).path.name == "given.pth"


def test_places_are_asked_in_order_until_one_has_the_file(weight_cache: Cache, gives: Callable[..., Path]) -> None:
    choice = choose("IMAGENET1K_V2", sources=["local:/here", "official"])
    fetched = fetch(choice, weight_cache, official=gives)
    assert (fetched.source, fetched.sha256) == ("official", DIGEST)
    assert fetched.notes == ("local:/here: no net-v2.pth at /here",)


def test_when_no_place_has_it_one_error_names_each_with_the_ways_out(weight_cache: Cache) -> None:
    with pytest.raises(FtError) as raised:
        fetch(choose("default", sources=["local:/here", "mirror:https://m.example"]), weight_cache)
    assert str(raised.value).splitlines() == [
        "could not get the weights IMAGENET1K_V1 of torchvision:net (net-v1.pth):",
        f"  cache: there is no {weight_cache.folder}/net-v1.pth",
        "  local:/here: no net-v1.pth at /here",
        "  mirror:https://m.example: no net-v1.pth at https://m.example",
        "  official: no net-v1.pth at None",
        "What you can do:",
        "  --weights mirror:BASE_URL, or FT_WEIGHT_MIRROR=BASE_URL, for a server that has it",
        "  --weights local:PATH, for a file or folder of yours",
        f"  put the file there: {weight_cache.folder}/net-v1.pth",
        "  --weights none, to start from random weights",
    ]


def test_a_source_that_is_not_installed_is_one_of_the_failures(weight_cache: Cache) -> None:
    entry = dataclasses.replace(V1, source="lab:x")
    with pytest.raises(FtError, match="lab:x: no weight source named 'lab'"):
        fetch(choose("default", entries=(entry,)), weight_cache)


@pytest.mark.parametrize("use", ["default", "official"])
@pytest.mark.parametrize("published", ["", "00000000"])
def test_the_digest_in_the_config_is_enforced_whatever_the_source_says(
    weight_cache: Cache, gives: Callable[..., Path], use: str, published: str
) -> None:
    entry = dataclasses.replace(V1, sha256=published)
    right = choose(use, entries=(entry,), sha256=DIGEST[:12])
    assert fetch(right, weight_cache, official=gives).sha256 == DIGEST
    wrong = choose(use, entries=(entry,), sha256="12345678")
    with pytest.raises(FtError, match=r"but weights.sha256 is 12345678"):
        fetch(wrong, weight_cache, official=gives)


def test_the_longer_of_two_digests_that_agree_is_demanded() -> None:
    entry = dataclasses.replace(V1, sha256=DIGEST[:16])
    assert choose("default", entries=(entry,), sha256=DIGEST[:8]).entry.sha256 == DIGEST[:16]
    assert choose("default", entries=(entry,), sha256=DIGEST).entry.sha256 == DIGEST
    assert choose("default", entries=(entry,), sha256="12345678").entry.sha256 == "12345678"


def test_a_file_that_is_not_the_published_one_is_noted(weight_cache: Cache, gives: Callable[..., Path]) -> None:
    entry = dataclasses.replace(V1, sha256="00000000")
    (note,) = fetch(choose("local:x", entries=(entry,)), weight_cache, local=gives).notes
    assert note == f"the file is not the published one of IMAGENET1K_V1: sha256 is {DIGEST[:16]}, not 00000000"


@pytest.mark.parametrize("demanded", ["", DIGEST])
@pytest.mark.parametrize(
    ("published", "use", "name"),
    [
        ("00000000", "local:x", "own weights"),
        ("", "local:x", "own weights"),
        (DIGEST[:8], "local:x", "IMAGENET1K_V1"),
        (DIGEST[:8], "default", "IMAGENET1K_V1"),
        ("", "default", "IMAGENET1K_V1"),
    ],
)
def test_a_file_of_ones_own_is_never_called_by_a_published_name(
    weight_cache: Cache, gives: Callable[..., Path], published: str, use: str, name: str, demanded: str
) -> None:
    entry = dataclasses.replace(V1, sha256=published, url="https://publisher.example/net-v1.pth")
    choice = choose(use, entries=(entry,), **({"sha256": demanded} if demanded else {}))
    came = fetch(choice, weight_cache, local=gives, official=gives).entry
    assert came.name == name
    assert came.url == ("" if name == "own weights" else entry.url)


def test_what_came_is_described_by_its_size_and_place(weight_cache: Cache, gives: Callable[..., Path]) -> None:
    came = fetch(choose("local:x"), weight_cache, local=gives)
    assert came.describe() == "own weights (0.0 MB) from local:x"
    weight_cache.folder.mkdir()
    (weight_cache.folder / "net-v2.pth").write_bytes(CONTENT)
    cached = fetch(choose("IMAGENET1K_V2"), weight_cache)
    assert cached.describe() == f"IMAGENET1K_V2, cached: {weight_cache.folder}/net-v2.pth (0.0 MB)"


def test_what_a_source_gives_is_judged_by_its_content(weight_cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_text("no weights")
    with pytest.raises(FtError, match=r"local:x: .*net\.pth is no weight file .*: it begins with b'no weights'"):
        fetch(choose("local:x"), weight_cache, local=lambda *_: tmp_path / "net.pth")


def test_a_source_that_returns_no_path_is_a_bug_of_its_plugin(weight_cache: Cache) -> None:
    with pytest.raises(TypeError, match=r"weight source 'official' of dist returned 'x.pth', not a Path"):
        fetch(choose("official"), weight_cache, official=lambda *_: "x.pth")
