"""Backbones ranked by heads on what their stages make of images, with tiny networks on the demo's drawings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import TINY
from ft.config.schema import Config
from ft.depths import look
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Stage
from ft.extension.tasks import Figure
from ft.gathering import config_to_gather
from ft.machine.display import Display
from ft.model.stage_outputs import averaged, stages_watched
from ft.probing import Probe, Probed, probe
from ft.probing_page import probing_page

SMALL = ("images.size=16", "data.images_per_class=8", "data.size=32")
SETS = ("weights=none", *SMALL, "machine.workers=0", "machine.device=cpu")


def config(backbone: str = f"{TINY}:small", *sets: str) -> Config:
    return config_to_gather("demo", {"backbone": backbone, "task": None}, [*SETS, *sets])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_one_pass_serves_all_depths_and_is_kept(store: Path, plugins: Plugins) -> None:
    first, again = look(config(), plugins, Display()), look(config(), plugins, Display())
    assert (first.computed, again.computed) == (len(first.items), 0)
    assert len(first.depths) > 1
    for one, other in zip(first.depths, again.depths, strict=True):
        assert one.features.shape == (len(first.items), one.features.shape[1])
        assert torch.equal(one.features, other.features)


def test_a_grown_data_set_looks_at_new_images_only(store: Path, plugins: Plugins) -> None:
    before = look(config(), plugins, Display())
    more = look(config(f"{TINY}:small", "data.images_per_class=10"), plugins, Display())
    assert 0 < more.computed <= len(more.items) - len(before.items)


def test_the_last_depth_is_what_the_head_reads_and_nothing_lies_behind_it(store: Path, plugins: Plugins) -> None:
    looked = look(config(), plugins, Display())
    behind = [depth.behind for depth in looked.depths]
    assert behind == sorted(behind, reverse=True)
    assert behind[-1] == 0
    assert looked.parameters > behind[0] > 0
    assert all(0 < depth.seconds <= looked.seconds for depth in looked.depths)


def test_other_weights_are_another_network(store: Path, plugins: Plugins) -> None:
    first = look(config(), plugins, Display())
    other = look(config(f"{TINY}:small", "seed=7"), plugins, Display())
    assert other.computed == len(other.items)
    assert not torch.equal(first.depths[0].features, other.depths[0].features)


def test_better_features_come_first_and_figures_are_of_unseen_images(store: Path, plugins: Plugins) -> None:
    found = probe([config(), config(f"{TINY}:small", "seed=3")], 4, plugins, Display())
    figures = [each.figures["accuracy"] for each in found.ranked]
    assert figures == sorted(figures, reverse=True)
    for each in found.ranked:
        assert each.values is not None
        assert float(each.values.mean()) == pytest.approx(each.figures["accuracy"])
        assert each.interval is not None
        assert each.interval.low <= each.figures["accuracy"] <= each.interval.high
    assert found.as_good.seconds <= found.ranked[0].seconds


def made_up(name: str, accuracy: float, seconds: float) -> Probe:
    return Probe(name, "last", True, {"accuracy": accuracy}, None, None, 0.1, 8, seconds, 0.0, 100, 0, 0)


def test_the_front_is_what_no_other_beats_in_figure_and_time() -> None:
    small, twin, slow = made_up("small", 0.8, 0.01), made_up("twin", 0.8, 0.02), made_up("slow", 0.75, 0.03)
    large, same = made_up("large", 0.9, 0.04), made_up("same", 0.7, 0.01)
    figure = Figure("accuracy", "accuracy", ".1%")
    ranked = (large, small, twin, slow, same)
    found = Probed(10, 5, figure, ranked, ranked, {}, large)
    assert [each.backbone for each in found.front] == ["small", "large"]
    error = replace(figure, larger_is_better=False)
    assert [each.backbone for each in replace(found, figure=error).front] == ["same"]
    page = probing_page(found, "photos")
    assert "The line joins backbones that no other is both better and faster than" in page
    assert page.count(">yes<") == 2


def test_one_that_cannot_be_had_costs_no_other_its_place(store: Path, plugins: Plugins) -> None:
    found = probe([config("torchvision:no_such"), config()], 4, plugins, Display())
    assert [each.backbone for each in found.ranked] == [f"{TINY}:small"]
    assert "no_such" in found.left_out["torchvision:no_such"]
    with pytest.raises(FtError, match="no_such"):
        probe([config("torchvision:no_such")], 4, plugins, Display())


class Steps(nn.Module):
    """A map, tokens, rows of places, and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.tokens, self.rows, self.vector = (nn.Identity() for _ in range(4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        made = self.map(images)
        self.tokens(made.flatten(2).transpose(1, 2))
        self.rows(made.permute(0, 2, 3, 1))
        return self.vector(made.mean((2, 3)))


def test_outputs_of_every_form_are_averaged_over_places() -> None:
    module, images = Steps(), torch.rand(2, 3, 4, 4)
    stages = [Stage(name, (name,)) for name in ("map", "tokens", "rows", "vector")]
    with stages_watched(module, stages) as watched:
        module(images)
    expected = images.mean((2, 3))
    for name in ("map", "tokens", "rows", "vector"):
        assert torch.allclose(watched.outputs[name], expected), name
    assert averaged(torch.ones(2, 5)).shape == (2, 5)
    module(images + 1)  # nobody watches any more
    assert torch.allclose(watched.outputs["map"], expected)


@pytest.mark.trains
def test_command_ranks_recommends_and_draws(ft: Callable[..., Any], tmp_path: Path) -> None:
    sets = [argument for text in SETS for argument in ("--set", text)]
    told = ft("probe", "demo", "--backbone", f"{TINY}:small", *sets, "--folds", "4", "--depths", "--html", "page.html")
    assert told.exit_code == 0
    assert "ft run --backbone" in told.stdout
    assert "--optimizer lbfgs --data demo" in told.stdout.replace("\n", " ")
    page = (tmp_path / "page.html").read_text()
    assert "By stage" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fetch", "--backbone", "torchvision:resnet18"), "--fetch is about"),
        (("--models", "torchvision:*", "--fetch"), "narrow the pattern"),
        (("--models", "no_such_thing"), "no backbone matches"),
        (("--backbone", "torchvision:resnet18", "--set", "training.lr=1"), "changes nothing here"),
    ],
)
def test_what_cannot_be_probed_is_one_line(ft: Callable[..., Any], arguments: tuple[str, ...], said: str) -> None:
    assert said in str(ft("probe", "demo", *arguments, fails=True).exception)
