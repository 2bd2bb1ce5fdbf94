"""The recipes that come with ft: each is planned and trains, and is repeated where nobody has it any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from safetensors.torch import load_file

from conftest import TINY
from faults.repetitions import FULL
from ft import __version__
from ft.config.loading import load_config
from ft.config.phase import PLACES
from ft.config.schema import Config
from ft.config.training import OF_STEPS
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, plan_phases
from ft.machine.display import Display
from ft.plan.records import Plan
from ft.tracking.events import PhaseStarted
from ft_torchvision.build import TorchvisionSettings
from ft_torchvision.catalogue import models
from ft_torchvision.families import family_of

FROZEN = {
    "default": [4],
    "quick": [5],
    "linear-probe": [5],
    "best": [5, 4],
    "lp-ft": [5, 0],
    "gradual": [5, 4, 3, 2, 0],
    "discriminative": [0],
    "surgical": [5, 4],
    "full": [0],
    "bitfit": [0],
    "lora": [0],
}
"""How many of five stages are frozen in each phase."""
ONE_OF_EACH = list({family_of(name).models: name for name in models(TorchvisionSettings())}.values())
SIDES = {"inception_v3": 299, "maxvit_t": 224, "vit_l_32": 224}
"""Sides of images of networks that take none of 64 px."""


def tiny(recipe: str, plugins: Plugins, folder: Path | None = None, model: str = "deep", **keys: Any) -> Config:
    tree = {
        "backbone": f"{TINY}:{model}",
        "weights": "none",
        "data": {"use": "demo", "images_per_class": 4, "size": 32},
        "images.size": 16,
        "machine.precision": "fp32",
        "machine.device": "cpu",
        "machine.workers": 0,
        "report.html": False,
        "training.batch_size": 8,
        "recipe": recipe,
        "run_dir": None if folder is None else str(folder),
    }
    return load_config(None, (), {**tree, **{key.replace("__", "."): each for key, each in keys.items()}}, plugins)


def planned(plugins: Plugins, recipe: str, **keys: Any) -> Sequence[Plan]:
    return plan_phases(tiny(recipe, plugins, **keys), plugins, Display())[1]


def test_every_recipe_is_tried(plugins: Plugins) -> None:
    assert {each.name for each in plugins.components("recipe") if each.distribution == "ftkit"} == FROZEN.keys()


@pytest.mark.parametrize("recipe", FROZEN)
def test_a_recipe_freezes_what_it_says_and_trains(recipe: str, plugins: Plugins, tmp_path: Path) -> None:
    solves = recipe in ("quick", "linear-probe")
    keys = {} if solves else {"training__epochs": 1}
    told: list[Any] = []
    _, report = finetune(tiny(recipe, plugins, tmp_path / "run", **keys), plugins, Display(), listeners=[told.append])
    plans = [event.plan for event in told if isinstance(event, PhaseStarted)]
    assert [sum(stage.frozen_numel == stage.numel for stage in plan.stages) for plan in plans] == FROZEN[recipe]
    assert all(plan.from_recipe.startswith(f"{recipe} of ftkit ") for plan in plans)
    assert len(report.each_phase or (None,)) == len(plans)
    assert report.epochs == plans[-1].epochs


@pytest.mark.faults
@pytest.mark.parametrize("network", ONE_OF_EACH if FULL else ["mobilenet_v2", "vgg11"])
def test_a_head_can_be_solved_for_on_a_network_of_each_family(network: str, plugins: Plugins) -> None:
    backbone = f"torchvision:{network}"
    (plan,) = planned(plugins, "quick", backbone=backbone, images__size=SIDES.get(network, 64))
    assert plan.optimizer.solves
    assert any("Linear(" in text for text in plan.head)


@pytest.mark.parametrize("recipe", ["quick", "linear-probe", "best", "lp-ft", "surgical"])
def test_a_head_can_be_solved_for_where_each_position_was_classified(recipe: str, plugins: Plugins) -> None:
    first, *_ = planned(plugins, recipe, backbone="torchvision:squeezenet1_1", images__size=32)
    assert first.optimizer.solves
    assert "Linear(512 → 4) replaces Conv2d(512 → 1000)" in first.head[0]


def test_a_run_is_repeated_by_its_config_where_the_recipe_is_gone(plugins: Plugins, tmp_path: Path) -> None:
    run, _ = finetune(tiny("lp-ft", plugins, tmp_path / "run", training__epochs=1), plugins, Display())
    without = Plugins(tuple(each for each in plugins.all if each.name != "recipes"))
    again = load_config(run.path / "config.yaml", (), {"run_dir": str(tmp_path / "again")}, without)
    repeated, _ = finetune(again, without, Display())
    ours, theirs = (load_file(each.path / "model.safetensors") for each in (run, repeated))
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert again.recipe is not None
    assert (again.recipe.use, again.recipe.distribution) == ("lp-ft", "ftkit")


@pytest.mark.parametrize(
    ("recipe", "keys"),
    [
        ("lp-ft", {"training__epochs": 3, "training__lr": 0.5, "freeze": ["depth:2"]}),
        ("best", {"training__epochs": 3, "images__views": 3, "images__augment": "standard", "training__ema": 0.9}),
        ("gradual", {"training__epochs": 3, "training__lr_decay": 0.5, "training__patience": 1}),
        ("surgical", {"training__epochs": 3, "train": ["regex:stage3.*"]}),
        ("quick", {"images__fit": "pad"}),
    ],
)
def test_what_may_be_turned_acts_and_nothing_is_warned_of(recipe: str, keys: dict[str, Any], plugins: Plugins) -> None:
    usual, turned = planned(plugins, recipe), planned(plugins, recipe, **keys)
    assert usual[-1].digest() != turned[-1].digest()
    warned = [text for plan in (*usual, *turned) for text in plan.warnings]
    assert [text for text in warned if "weights are random" not in text and "stood still until now" not in text] == []


@pytest.mark.parametrize("recipe", [name for name, phases in FROZEN.items() if len(phases) > 1])
def test_what_flags_say_of_steps_and_of_views_is_not_about_a_head_that_is_solved_for(
    recipe: str, plugins: Plugins
) -> None:
    for phase in tiny(recipe, plugins).phases:
        if "optimizer" in phase.model_fields_set and phase.optimizer.use == "lbfgs":
            assert {*PLACES} - {*OF_STEPS, "train"} <= phase.model_fields_set


ONE_STAGE = """
from pathlib import Path
from torch import nn
from ft import Backbone, BackboneProvider, Stage, WeightEntry

def build(name, settings):
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    return Backbone(module, head_paths=("3",), stages=(Stage("only", ("0",)),), feature_dim=3, name="one")

def entries(name):
    return [WeightEntry("V1", "one.pth")]

One = BackboneProvider("one", "One stage", models=lambda settings: ["one"], build=build, weights=entries)
"""


def test_where_nobody_says_how_the_last_fifth_of_many_images_trains_and_else_the_head(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(**keys: Any) -> Plan:
        keys = {"data": {"use": "demo", "images_per_class": 4, "size": 32}, "images.size": 32, **keys}
        return plan_phases(load_config(None, (), keys, plugins), plugins, Display())[1][0]

    def trains(plan: Plan) -> list[str]:
        return [stage.name for stage in plan.stages if stage.frozen_numel < stage.numel]

    few = plan(backbone="torchvision:resnet18")
    assert (trains(few), few.from_recipe) == (["head"], "")
    assert any(note.startswith("the head alone trains, where nobody says how: more is worth it") for note in few.notes)
    monkeypatch.setattr("ft.opening.MANY_IMAGES", 8)
    many = plan(backbone="torchvision:resnet18")
    assert (trains(many), many.from_recipe) == (
        ["layer4", "head"],
        f"default of ftkit {__version__}: freeze, training.lr",
    )
    (tmp_path / "one.py").write_text(ONE_STAGE)
    one = plan(backbone=f"{tmp_path}/one.py:One:one")
    assert (trains(one), one.from_recipe) == (["head"], "")
    assert any("the head alone trains, where nobody says how, since 'depth:80%' is not 1" in note for note in one.notes)
    assert plan(backbone=f"{TINY}:small", weights="none").frozen == (), "nothing is pretrained that could be kept"


def test_of_too_few_stages_is_said_what_to_type(plugins: Plugins) -> None:
    with pytest.raises(FtError, match=r"phase 4: 'depth:-3' is not 1 to 3 stages .*ft recipes copy gradual mine.yaml"):
        planned(plugins, "gradual", model="small")


def test_recipes_are_listed_shown_and_copied(ft: Callable[..., Result], tmp_path: Path) -> None:
    rows = json.loads(ft("recipes", "list", "--json").stdout)
    assert {row["name"] for row in rows if row["distribution"] == "ftkit"} == FROZEN.keys()
    text = (files("ft_recipes") / "lp-ft.yaml").read_text()
    assert ft("recipes", "show", "lp-ft").stdout == text
    told = json.loads(ft("recipes", "show", "lp-ft", "--json").stdout)
    assert (told["text"], told["says"]["training"]["epochs"], told["distribution"]) == (text, 10, "ftkit")
    said = ft("recipes", "copy", "lp-ft", "mine.yaml").stdout
    assert "ft run --recipe mine.yaml" in said
    assert (tmp_path / "mine.yaml").read_text() == text
    assert "may have been edited" in str(ft("recipes", "copy", "lp-ft", "mine.yaml", fails=True).exception)
    assert "write mine.yaml" in str(ft("recipes", "copy", "lp-ft", "mine", fails=True).exception)
    assert "Did you mean 'lp-ft'" in str(ft("recipes", "show", "lpft", fails=True).exception)


def test_a_plan_names_the_recipe_and_a_copy_of_it_is_the_same_plan(
    ft: Callable[..., Result], plugins: Plugins, tmp_path: Path
) -> None:
    ft("recipes", "copy", "lp-ft", "mine.yaml")
    config = tiny("lp-ft", plugins).model_dump(mode="json", exclude_defaults=True)
    say = {key: config[key] for key in ("backbone", "weights", "data", "images", "machine")}
    (tmp_path / "config.yaml").write_text(json.dumps(say))
    theirs, mine = (
        json.loads(ft("plan", "--config", "config.yaml", "--recipe", recipe, "--json").stdout)
        for recipe in ("lp-ft", "mine.yaml")
    )
    assert mine["config"]["recipe"]["use"] == "mine.yaml"
    for each in (theirs, mine):
        for plan in (each["plan"], *each["later_plans"]):
            del plan["from_recipe"]
        del each["config"]["recipe"]
    assert theirs == mine
    shown = ft("plan", "--config", "config.yaml", "--recipe", "lp-ft", "--plan-out", "out.yaml").stdout
    spelt = json.loads(ft("plan", "--config", "out.yaml", "--json").stdout)
    assert spelt["plan"]["warnings"] == theirs["plan"]["warnings"]
    assert spelt["plan"]["frozen"] == theirs["plan"]["frozen"]
    (last,) = spelt["later_plans"]
    assert theirs["later_plans"] == [{key: value for key, value in last.items() if key != "from_recipe"}]
    assert "recipe      lp-ft of ftkit" in shown
