from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ft import BackboneProvider, FtError, ModelFacts, WeightEntry, WeightSource
from ft.extension.installed import Component, Plugin, Plugins
from ft.extension.kinds import KINDS
from ft.model.listing import in_order, listed_models
from ft.weights.cache import Cache

FACTS = {
    "small": ModelFacts(1000, 10, 60.0),
    "for-tests": ModelFacts(1, 1, 99.0, for_tests=True),
    "unknown": ModelFacts(),
    "accurate": ModelFacts(5000, 90, 80.0, "accurate, for its size"),
    "counted": ModelFacts(3000),
}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "checkpoints", tmp_path / "records")


def plugins(*records: Any) -> Plugins:
    kinds = {kind.record: kind for kind in KINDS.values()}
    components = tuple(Component(kinds[type(record)], record, "some-plugin", "1.0") for record in records)
    return Plugins((Plugin("some", "some", "some-plugin", "1.0", "ok", components=components),))


def provider(name: str = "some", **fields: Any) -> BackboneProvider:
    made = {"models": lambda settings: list(FACTS), "facts": FACTS.__getitem__, **fields}
    return BackboneProvider(name, "Some", build=lambda *_: None, **made)


def names(models: Any) -> list[str]:
    return [model.name.partition(":")[2] for model in models]


def test_the_most_accurate_come_first_then_what_nobody_measured_and_last_what_is_there_for_tests(cache: Cache) -> None:
    listed, reasons = listed_models(plugins(provider()), cache)
    assert names(listed) == ["accurate", "small", "counted", "unknown", "for-tests"]
    assert (listed[0].parameters, listed[0].flops, listed[0].accuracy) == (5000, 90, 80.0)
    assert listed[0].recommended == "accurate, for its size"
    assert reasons == []


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("name", ["accurate", "counted", "small", "unknown", "for-tests"]),
        ("parameters", ["small", "counted", "accurate", "unknown", "for-tests"]),
        ("flops", ["small", "accurate", "counted", "unknown", "for-tests"]),
    ],
)
def test_what_an_order_cannot_place_comes_after_what_it_can(cache: Cache, by: str, order: list[str]) -> None:
    listed, _ = listed_models(plugins(provider()), cache)
    assert names(in_order(listed, by)) == order


def test_a_provider_that_tells_no_facts_is_listed(cache: Cache) -> None:
    listed, _ = listed_models(plugins(provider(facts=None)), cache)
    assert names(listed) == sorted(FACTS)
    assert {model.parameters for model in listed} == {None}


def test_a_provider_that_cannot_list_its_models_hides_none_of_another(cache: Cache) -> None:
    def refuse(settings: Any) -> list[str]:
        raise FtError("the models of broken need a library")

    listed, reasons = listed_models(plugins(provider("broken", models=refuse), provider()), cache)
    assert len(listed) == len(FACTS)
    assert reasons == ["the models of broken need a library"]


def test_weights_are_here_when_they_are_in_the_cache_or_where_their_source_finds_them(cache: Cache) -> None:
    entries = {
        "small": [WeightEntry("V2", "small-2.pth", size=7), WeightEntry("V1", "small-1.pth")],
        "accurate": [WeightEntry("V1", "accurate.pth", approximate_size=9, source="carried:there")],
        "counted": [WeightEntry("V1", "counted.pth", source="carried:elsewhere")],
    }
    cache.folder.mkdir()
    (cache.folder / "small-1.pth").write_bytes(b"weights")
    carried = WeightSource("carried", "", fetch=lambda *_: None, is_here=lambda entry, argument: argument == "there")
    listed, _ = listed_models(plugins(provider(weights=lambda name: entries.get(name, [])), carried), cache)
    assert {name: model.here for name, model in zip(names(listed), listed, strict=True)} == {
        "accurate": ("V1",),
        "small": ("V1",),
        "counted": (),
        "unknown": (),
        "for-tests": (),
    }
    assert [(model.weights, model.size) for model in listed[:4]] == [("V1", 9), ("V2", 7), ("V1", None), ("", None)]
