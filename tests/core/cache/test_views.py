"""How many views are replayed where nobody says it: as many as make the run clearly cheaper, and the run keeps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ft.cache.views import CLEARLY, FEWEST, cheap_views
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.prefix.records import Cut, NoCut, Price

MakeConfig = Callable[..., Config]


def cut_of(prefix: int, suffix: int) -> Cut:
    return Cut((), prefix_flops=prefix, suffix_flops=suffix, seconds=0.0, barriers=(), prefix_nodes=("conv",))


def computed(cut: Cut, train: int, val: int, epochs: int, views: int | None) -> int:
    """Multiply-adds of a run, counted one pass after the other; None replays nothing."""
    before = epochs * (train + val) if views is None else train * views + val
    return before * cut.prefix_flops + epochs * (3 * train + val) * cut.suffix_flops


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 5000), st.integers(1, 2000), st.integers(1, 60))
def test_the_most_views_with_which_a_run_is_clearly_cheaper(
    prefix: int, suffix: int, train: int, val: int, epochs: int
) -> None:
    cut = cut_of(prefix, suffix)
    limit = CLEARLY * computed(cut, train, val, epochs, None)
    fitting = [
        views for views in range(1, epochs // 2 + 1) if computed(cut, train, val, epochs, views) < limit * (1 + 1e-9)
    ]
    exactly = [views for views in fitting if computed(cut, train, val, epochs, views) < limit * (1 - 1e-9)]
    assert max(exactly, default=0) <= cheap_views(cut, train, val, epochs) <= max(fitting, default=0)


def test_almost_everything_is_frozen_in_vgg16_up_to_its_classifier_and_half_in_an_evenly_cut_network() -> None:
    assert cheap_views(cut_of(30_700, 240), 1706, 262, 10) == 5
    assert cheap_views(cut_of(100, 100), 1706, 262, 10) == 0


@pytest.fixture
def config(tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeConfig:
    """A config of a tiny network whose first convolution is frozen, and which is told to see varied images."""
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))

    def make(**keys: object) -> Config:
        frozen = {"freeze": ["all"], "images__augment": "geometric", "training__epochs": 6}
        return tiny_config("small", **{**frozen, **keys})

    return make


def test_a_run_replays_what_the_plan_says_and_its_config_keeps_the_number(
    config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    run, report = finetune(config(run_dir=tmp_path / "run"), plugins, Display())
    ready = prepare(run.config(trust_code=True), plugins, Display())
    assert ready.plan.cache.views == run.config(trust_code=True).images.chosen_views == 3
    assert report.cache.computed == 3 * report.images["train"] + report.images["val"]


@pytest.mark.parametrize(
    "keys",
    [
        {"images__views": "new"},
        {"images__views": None},
        {"cache__promise": "off"},
        {"training__epochs": 5},
        {"training__epochs": 1},
        {"freeze": []},
        {"images__augment": "none"},
    ],
)
def test_nothing_is_replayed_where_it_is_refused_or_would_not_pay(
    config: MakeConfig, plugins: Plugins, keys: dict[str, object]
) -> None:
    ready = prepare(config(**keys), plugins, Display())
    assert ready.config.images.replayed is None
    assert ready.plan.cache.views == 1


def test_a_run_of_too_few_epochs_for_views_to_be_seen_twice_is_priced_for_none(
    config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price of less than one epoch is none that a cut could be chosen by."""
    priced: list[float] = []

    def find(module: object, frozen: object, shape: object, price: Price, under: object) -> NoCut:
        priced.append(price.epochs)
        return NoCut("nothing is looked for")

    monkeypatch.setattr("ft.cache.decision.find_prefix", find)
    for epochs in (1, 2, 5, 6):
        prepare(config(training__epochs=epochs), plugins, Display())
    assert priced == [6 / FEWEST]


def test_a_head_that_is_solved_for_sees_three_views(config: MakeConfig, plugins: Plugins) -> None:
    assert prepare(config(training__optimizer="lbfgs"), plugins, Display()).plan.cache.views == 3


def test_of_a_handful_of_positions_no_more_are_replayed_and_the_plan_says_where_more_are_asked_for(
    config: MakeConfig, plugins: Plugins
) -> None:
    assert prepare(config(images__augment="flip", training__epochs=20), plugins, Display()).plan.cache.views == 2
    asked = prepare(config(images__augment="flip", images__views=4), plugins, Display()).plan
    assert any("'flip' makes 2" in warning for warning in asked.warnings)


@pytest.mark.parametrize("views", ["0", "-1", "some"])
def test_other_numbers_are_refused(views: str) -> None:
    with pytest.raises(FtError, match="views"):
        load_config(flags={"backbone": "x:y", "images.views": views})
