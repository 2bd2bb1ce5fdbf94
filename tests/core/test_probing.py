"""Backbones ranked by heads on what their stages make of images, with tiny networks on the demo's drawings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backbones import Small, small
from conftest import TINY
from ft import Backbone, BackboneProvider
from ft.config.schema import ComponentConfig, Config
from ft.depths import look
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Stage
from ft.extension.tasks import Figure
from ft.gathering import config_to_gather
from ft.job import Looking
from ft.machine.display import Display
from ft.machine.signals import StopRequest
from ft.model.head import build_model
from ft.model.reading import read_by
from ft.model.stage_outputs import averaged, stages_watched
from ft.opening import open_run
from ft.probing import Probe, Probed, probe
from ft.probing_page import probing_page
from ft.training.predicting import predict_batches

SMALL = ("images.size=16", "data.images_per_class=8", "data.size=32")
HEADS = ("linear", "stages")
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
    found = probe([config(), config(f"{TINY}:small", "seed=3")], HEADS, 4, plugins, Display())
    figures = [each.figures["accuracy"] for each in found.ranked]
    assert figures == sorted(figures, reverse=True)
    for each in found.ranked:
        assert each.values is not None
        assert float(each.values.mean()) == pytest.approx(each.figures["accuracy"])
        assert each.interval is not None
        assert each.interval.low <= each.figures["accuracy"] <= each.interval.high
    assert found.as_good.seconds <= found.ranked[0].seconds


def made_up(name: str, accuracy: float, seconds: float) -> Probe:
    return Probe(name, "linear", "last", True, {"accuracy": accuracy}, None, None, 0.1, 8, seconds, 0.0, 100, 0, 0)


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
    assert "The line joins those that nothing else is both better and faster than" in page
    assert page.count(">yes<") == 2


def test_what_a_head_gets_that_reads_all_stages_is_what_it_gets_in_a_run(store: Path, plugins: Plugins) -> None:
    stages = ComponentConfig(use="stages")
    looked = look(config(), plugins, Display(), [stages])
    assert set(looked.read_by["stages"]) == {depth.stage for depth in looked.depths}
    opened = open_run(config(), plugins, Display(), "pretrained", None)
    model = build_model(opened.built.backbone, stages, 3, plugins, seed=0)
    how = Looking(opened.built.preprocessing, 8, 0, opened.machine, Display(), StopRequest())
    with read_by(model.module.eval().get_submodule(model.head_paths[0])) as read:
        list(predict_batches(model.module, opened.data.items[:8], how, opened.data.digests))
    torch.testing.assert_close(looked.together("stages")[:8], read[0])


def test_heads_that_read_several_stages_are_ranked_beside_the_linear_one(store: Path, plugins: Plugins) -> None:
    found = probe([config()], HEADS, 4, plugins, Display())
    assert {each.head for each in found.ranked} == set(HEADS)
    assert {each.head for each in found.depths} == {"linear"}
    wide, last = (next(each for each in found.ranked if each.head == head) for head in reversed(HEADS))
    assert wide.width == sum(each.width for each in found.depths) > last.width
    only = probe([config()], ["stages"], 4, plugins, Display())
    assert [each.head for each in only.ranked] == ["stages"]
    assert only.ranked[0].figures == wide.figures


class Asking(Small):
    """As Small, with code that asks what is in the images."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images * 2 if images.sum() > 0 else images)


def ask(model_name: str, settings: Any) -> Backbone:
    return replace(small(), module=Asking())


Unread = BackboneProvider("unread", "A network whose stages cannot be read", models=lambda _: ["small"], build=ask)


def test_a_network_whose_stages_cannot_be_read_is_ranked_with_the_linear_head(store: Path, plugins: Plugins) -> None:
    found = probe([config(f"{__file__}:Unread:small")], HEADS, 4, plugins, Display())
    assert [each.head for each in found.ranked] == ["linear"]
    assert "cannot be followed from stage to stage" in found.left_out[f"{__file__}:Unread:small --head stages"]
    with pytest.raises(FtError, match=r"(?s)none of 1 backbones could be tried:.* --head stages: .*cannot be followed"):
        probe([config(f"{__file__}:Unread:small")], ["stages"], 4, plugins, Display())


def test_one_that_cannot_be_had_costs_no_other_its_place(store: Path, plugins: Plugins) -> None:
    found = probe([config("torchvision:no_such"), config()], HEADS[:1], 4, plugins, Display())
    assert [each.backbone for each in found.ranked] == [f"{TINY}:small"]
    assert "no_such" in found.left_out["torchvision:no_such"]
    with pytest.raises(FtError, match="no_such"):
        probe([config("torchvision:no_such")], HEADS, 4, plugins, Display())


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
    assert "--optimizer lbfgs --data demo --set weights=none --set images.size=16" in told.stdout.replace("\n", " ")
    page = (tmp_path / "page.html").read_text()
    assert "By stage" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fetch", "--backbone", "torchvision:resnet18"), "--fetch is about"),
        (("--models", "torchvision:*", "--fetch"), "narrow the pattern"),
        (("--models", "no_such_thing"), "no backbone matches"),
        (("--backbone", "torchvision:resnet18", "--head", "mlp"), "--head mlp is neither"),
        (("--backbone", "torchvision:resnet18", "--head", "stage"), "stages"),
        (("--backbone", "torchvision:resnet18", "--head", "\udcff"), "head.use' is no UTF-8"),
        (("--backbone", "torchvision:resnet18", "--head", ""), "head.use"),
        (("--backbone", "torchvision:resnet18", "--set", "training.lr=1"), "changes nothing here"),
    ],
)
def test_what_cannot_be_probed_is_one_line(ft: Callable[..., Any], arguments: tuple[str, ...], said: str) -> None:
    assert said in str(ft("probe", "demo", *arguments, fails=True).exception)
