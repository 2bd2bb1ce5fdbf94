"""A recipe is laid under a config: what the user says wins, none of it is lost, and the config says whose it was."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ft.config.loading import load_config
from ft.config.merging import Typed
from ft.config.phases import configs_of
from ft.config.recipes import USUAL, lay_under, without_recipe
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.discovery import GROUP
from ft.extension.installed import Plugins, load_plugins
from ft.extension.unpackaged import refuse_unpackaged

PLUGINS = load_plugins()
BACKBONE = {"backbone": "torchvision:resnet18"}
TWO = """# Ours.
freeze: "depth:1"
images: {fit: squash}
training: {epochs: 7, optimizer: {use: sgd, momentum: 0.5}}
phases:
  - {freeze: all, optimizer: lbfgs}
  - {lr: 0.01}
"""


@pytest.fixture
def two(tmp_path: Path) -> str:
    file = tmp_path / "two.yaml"
    file.write_text(TWO)
    return str(file)


def made(
    plugins: Plugins | None, given: dict[str, Any] | None = None, sets: tuple[str, ...] = (), **flags: Any
) -> Config:
    return load_config({**BACKBONE, **(given or {})}, sets, flags, plugins)


def test_what_a_recipe_says_goes_over_defaults_and_under_file_set_and_flags(plugins: Plugins, two: str) -> None:
    config = made(
        plugins,
        {"recipe": two, "training": {"optimizer": {"momentum": 0.1}, "batch_size": 4}},
        ("training.optimizer.nesterov=false", "seed=3"),
        **{"training.epochs": 9},
    )
    training = config.training
    assert (training.epochs, training.batch_size, config.images.fit, config.seed) == (9, 4, "squash", 3)
    assert (training.optimizer.use, training.optimizer.settings) == ("sgd", {"momentum": 0.1, "nesterov": False})
    assert [len(phase.freeze) for phase in configs_of(config)] == [1, 1]
    assert config.recipe is not None
    assert config.recipe.says == ("freeze", "images.fit", "training.optimizer", "phases")


def test_the_config_says_whose_recipe_it_was_and_is_read_again_without_it(plugins: Plugins) -> None:
    config = made(plugins, recipe="lp-ft")
    assert config.recipe is not None
    assert (config.recipe.use, config.recipe.distribution, len(config.recipe.sha256)) == ("lp-ft", "ftkit", 64)
    assert config.recipe.version
    assert config.recipe.says == ("freeze", "training.epochs", "training.lr", "training.head_lr", "phases")
    dumped = config.model_dump(mode="json")
    gone = Plugins(tuple(each for each in plugins.all if each.name != "recipes"))
    assert load_config(dumped, plugins=gone) == load_config(dumped) == config
    changed = load_config(dumped, (), {"training.lr": 0.5})
    assert changed.recipe is not None
    assert (changed.training.lr, "training.lr" in changed.recipe.says) == (0.5, False)


def test_a_config_without_a_recipe_mentions_none(plugins: Plugins) -> None:
    assert "recipe" not in made(plugins, freeze="all").model_dump(mode="json")
    refuse_unpackaged(made(plugins, recipe="lp-ft").references(), "config.yaml")


def test_who_says_freeze_and_no_train_takes_nothing_back(plugins: Plugins) -> None:
    config = made(plugins, recipe="surgical", freeze=["type:norm"])
    assert ([each.use for each in config.freeze], config.train) == (["type:norm"], ())
    config = made(plugins, recipe="surgical", train=["regex:layer3.*"])
    assert [each.use for each in (*config.freeze, *config.train)] == ["all", "regex:layer3.*"]


@pytest.mark.parametrize(
    ("recipe", "keys", "message"),
    [
        ("gradual", {"freeze": ["depth:2"]}, None),
        ("lp-ft", {"training.epochs": 3, "training.lr": 0.1, "freeze": ["depth:1"]}, None),
        ("best", {"images.views": 2, "images.augment": "standard", "freeze": ["depth:-1"]}, None),
        ("lp-ft", {"training.optimizer": "sgd"}, None),
        (
            "linear-probe",
            {"freeze": ["none"], "training.optimizer": "adamw", "training.monitor": "accuracy"},
            "nothing of the recipe 'linear-probe'",
        ),
        ("lpft", {}, "no recipe named 'lpft'. Did you mean 'lp-ft'"),
        ("lp-ft:2", {}, "takes settings, not an argument|takes no"),
        ("gone.yaml", {}, "cannot read the recipe gone.yaml: No such file"),
        ("gone", {}, r"A file's name ends in .yaml: --recipe ./gone.yaml"),
        (["a"], {}, r"setting 'recipe' cannot be \['a'\]: it takes a name, as in lp-ft, or a file"),
    ],
)
def test_what_is_typed_beside_a_recipe_acts_or_is_refused(
    plugins: Plugins, recipe: Any, keys: dict[str, Any], message: str | None
) -> None:
    if message is None:
        made(plugins, recipe=recipe, **keys)
    else:
        with pytest.raises(FtError, match=message):
            made(plugins, recipe=recipe, **keys)


SOLVED = "phases:\n  - {freeze: all, optimizer: lbfgs}\n  - {epochs: 3, freeze: []}\n"


@pytest.mark.parametrize(
    ("recipe", "given", "keys", "message"),
    [
        (
            SOLVED,
            {},
            {"training.epochs": 5},
            r"training.epochs: .* every phase that has a use for it says its own",
        ),
        (
            SOLVED,
            {},
            {"training.epochs": 5},
            r"--set phases.1.epochs=\.\.\.; .* those of the recipe .* ft recipes copy",
        ),
        (SOLVED, {}, {"freeze": ["all"]}, r"freeze: it would change nothing, since every phase says its own"),
        (SOLVED, {"training": {"epochs": 5}}, {}, r"training.epochs of the config: it would change nothing"),
        (SOLVED, {"training": {"lr": 0.1}}, {}, None),
        (
            "phases:\n  - {freeze: all, optimizer: lbfgs}\n",
            {},
            {"training.lr": 0.1},
            r"every phase fits the head in another way, and does without 'lr'; leave it out",
        ),
        ("", {}, {}, "is no mapping"),
        ("epoch: 3", {}, {}, r"unknown setting 'epoch'.*\n\(the recipe .*\)"),
        ("training: {epochs: many}", {}, {}, r"setting 'training.epochs' cannot be 'many'"),
        ("run_dir: here", {}, {}, "says run_dir, which is for a config to say"),
        ("recipe: lp-ft", {}, {}, "says recipe, which is for a config to say; a whole config is used with --config"),
        ("a: b: c", {}, {}, "not valid YAML"),
    ],
)
def test_a_recipe_of_ones_own_is_heard_whole_or_the_mistake_is_said(
    plugins: Plugins, tmp_path: Path, recipe: str, given: dict[str, Any], keys: dict[str, Any], message: str | None
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(recipe)
    if message is None:
        made(plugins, {"recipe": str(file), **given}, **keys)
    else:
        with pytest.raises(FtError, match=message):
            made(plugins, {"recipe": str(file), **given}, **keys)


def test_settings_beside_a_recipe_are_refused_and_a_run_that_goes_on_gets_no_other(plugins: Plugins, two: str) -> None:
    with pytest.raises(FtError, match=r"--set recipe.epochs=3: a recipe takes no settings"):
        made(plugins, {"recipe": two}, ("recipe.epochs=3",))
    with pytest.raises(FtError, match=r"recipe.epochs: a recipe takes no settings"):
        made(plugins, {"recipe": {"use": two, "epochs": 3}})
    with pytest.raises(FtError, match=r"is laid under a config when a run begins"):
        made(None, {"recipe": "lp-ft"})


def test_a_config_that_says_all_itself_hears_no_recipe(plugins: Plugins) -> None:
    done = made(plugins, recipe="quick").model_dump(mode="json")
    with pytest.raises(
        FtError, match=r"nothing of the recipe 'quick' would be heard: freeze, images.fit, head, training\..* is said"
    ):
        load_config(done, (), {"recipe": "quick"}, plugins)


def test_of_two_packages_with_one_name_the_config_may_prefer_one(plugins: Plugins) -> None:
    (theirs,) = load_plugins([(EntryPoint("theirs", "ft_recipes", GROUP), "theirs", "2.0")]).all
    both = replace(plugins, all=(*plugins.all, theirs))
    with pytest.raises(FtError, match="more than one recipe is named 'quick'"):
        made(both, recipe="quick")
    for config in (
        made(both, recipe="theirs/quick"),
        made(both, {"prefer": {"recipe:quick": "theirs"}}, recipe="quick"),
    ):
        assert config.recipe is not None
        assert (config.recipe.distribution, config.recipe.version) == ("theirs", "2.0")


@pytest.mark.parametrize(
    ("content", "keys", "applies"),
    [
        ({}, {"data": "photos", "training.epochs": 3}, True),
        ({"freeze": ["all"]}, {}, False),
        ({}, {"train": ["depth:1"]}, False),
        ({"training": {"optimizer": "sgd"}}, {}, True),
        ({"phases": [{"epochs": 2}]}, {}, False),
        ({"groups": [{"match": "depth:1", "lr": 0.1}]}, {}, False),
        ({"lora": {"rank": 4}}, {}, False),
        ({"weights": "none"}, {}, False),
        ({"weights": {"use": "none"}}, {"weights": "default"}, True),
        ({}, {"weights.use": "none"}, False),
    ],
)
def test_the_usual_recipe_applies_where_nobody_says_how_to_train_pretrained_weights(
    plugins: Plugins, content: dict[str, Any], keys: dict[str, Any], applies: bool
) -> None:
    typed = [Typed(tuple(key.split(".")), value, key) for key, value in keys.items()]
    laid = lay_under(content, typed, plugins).tree
    assert ("recipe" in laid) is applies
    assert not applies or (laid["recipe"]["use"], laid["recipe"]["usual"]) == (USUAL, True)
    assert "recipe" not in lay_under(content, typed, None).tree, "what has begun has no other"
    assert "recipe" not in lay_under(content, typed, plugins, usual="nobody-has-it").tree


def test_without_its_recipe_a_config_is_as_if_there_had_been_none(plugins: Plugins) -> None:
    content = {**BACKBONE, "images": {"size": 64}, "training": {"batch_size": 8}}
    config, none = load_config(content, (), {}, plugins), load_config(content, (), {}, None)
    assert config.recipe is not None
    assert config != none
    assert without_recipe(config) == none


KEYS = st.fixed_dictionaries(
    {},
    optional={
        "training.epochs": st.integers(1, 50),
        "training.lr": st.floats(1e-6, 1.0),
        "training.batch_size": st.integers(1, 64),
        "images.views": st.integers(1, 8),
        "seed": st.integers(0, 9),
    },
)


@given(KEYS, KEYS)
def test_whatever_is_said_is_what_the_config_says(in_file: dict[str, Any], typed: dict[str, Any]) -> None:
    tree: dict[str, Any] = {"recipe": "best", **BACKBONE}
    for key, value in in_file.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    config = load_config(tree, (), typed, PLUGINS)
    for key, value in {**in_file, **typed}.items():
        found: Any = config
        for name in key.split("."):
            found = getattr(found, name)
        assert found == value
    assert config.recipe is not None
    assert {*config.recipe.says}.isdisjoint({*in_file, *typed})
