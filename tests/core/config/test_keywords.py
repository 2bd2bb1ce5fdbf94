"""What Python says becomes the config that a file or the command line would have made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch

from ft.config.flags import FLAGS, variable
from ft.config.keywords import BY_NAME, Component, Keywords, changes_of, config_of
from ft.config.loading import load_config
from ft.config.schema import ComponentConfig, Config
from ft.errors import FtError
from ft.extension.installed import Plugins, load_plugins

LIKE_A_CONFIG: dict[str, Any] = {"backbone": "torchvision:resnet18"}


PLUGINS = load_plugins()


def made(**given: Any) -> Config:
    return config_of(None, {**LIKE_A_CONFIG, **given}, PLUGINS)


def test_every_key_and_every_flag_is_a_keyword_and_typed_as_its_field_is() -> None:
    hints = get_type_hints(Keywords)
    assert hints.keys() == {*Config.model_fields, *(variable(flag) for flag, *_ in FLAGS)}
    for name, key in BY_NAME.items():
        model: Any = Config
        *sections, last = key.split(".")
        for section in sections:
            model = model.model_fields[section].annotation
        field = model.model_fields[last].annotation
        if name in Config.model_fields or name == "weight_source":
            continue  # a component, a section or a path, which Python says in more than one way
        is_component = isinstance(field, type) and issubclass(field, ComponentConfig)
        several = field == tuple[ComponentConfig, ...]
        assert hints[name] == (Component if is_component else Component | Sequence[Component] if several else field), (
            name
        )


def test_flags_names_and_nested_keys_say_the_same() -> None:
    flat = made(epochs=5, image_size=64, cache="off", val_fraction=0.3, weight_source="official", run_dir=Path("a"))
    nested = made(
        training={"epochs": 5},
        images={"size": 64},
        cache={"promise": "off"},
        split={"val": 0.3},
        weights={"use": "default", "sources": ["official"]},
        run_dir="a",
    )
    dotted: dict[str, Any] = {"training.epochs": 5, "images.size": 64, "cache.promise": "off", "split.val": 0.3}
    assert flat == nested == made(**dotted, weight_source=("official",), run_dir="a")
    typed = ["training.epochs=5", "images.size=64", "cache.promise=off", "split.val=0.3", "weights.sources=[official]"]
    assert flat == load_config(None, [*typed, "run_dir=a"], LIKE_A_CONFIG, PLUGINS)


@pytest.mark.parametrize("given", [{"tracker": "csv"}, {"trackers": ["csv"]}, {"tracker": [{"use": "csv"}]}])
def test_trackers_are_named_one_or_many(given: dict[str, Any]) -> None:
    assert made(**given).model_dump(mode="json")["trackers"] == ["csv"]


@pytest.mark.parametrize("freeze", [["a:1", "b"], ("a:1", "b"), [{"use": "a:1"}, "b"]])
def test_components_are_named_as_python_likes(freeze: Any) -> None:
    assert [each.use for each in made(freeze=freeze).freeze] == ["a:1", "b"]
    assert made(freeze="all").freeze == made(freeze={"use": "all"}).freeze == made(freeze={"all"}).freeze
    assert made(data=Path("photos")).data.use == "photos"
    assert made(head={"use": "mlp", "hidden": (16, 8)}).head.settings == {"hidden": [16, 8]}


@pytest.mark.parametrize("number", [np.int64(3), np.float64(3), np.array(3), torch.tensor(3), "3"])
def test_a_number_of_another_library_is_a_number(number: Any) -> None:
    config = made(epochs=number, lr=number)
    assert (config.training.epochs, config.training.lr) == (3, 3.0)
    assert type(config.training.lr) is float


def test_a_file_and_a_mapping_are_what_keywords_are_laid_over(tmp_path: Path) -> None:
    tree = {"backbone": "x:y", "training": {"epochs": 7, "lr": 0.5}, "freeze": ["all"]}
    file = tmp_path / "config.json"
    file.write_text('{"backbone": "x:y", "training": {"epochs": 7, "lr": 0.5}, "freeze": ["all"]}')
    for source in (tree, file, str(file), {"backbone": "x:y", "epochs": 7, "lr": 0.5, "freeze": "all"}):
        config = config_of(source, {"training": {"epochs": 3}, "freeze": "none"}, PLUGINS)
        assert (config.training.epochs, config.training.lr, config.freeze[0].use) == (3, 0.5, "none")
        assert config_of(source, {"epochs": 4}, PLUGINS).training.epochs == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 3}, r"unknown keyword 'epoch'\. Did you mean 'epochs'\?"),
        ({"momentum": 0.5}, r"unknown keyword 'momentum'; write training=\{\"momentum\": \.\.\.\}"),
        ({"val": 0.5}, r"write split=\{\"val\": \.\.\.\}"),
        ({"epochs": 3, "training": {"epochs": 4}}, "epochs= and training= both set training.epochs"),
        ({"training.epochs": 3, "epochs": 4}, "both set training.epochs"),
        ({"training": {"epoch": 3}}, "unknown setting 'training.epoch'. Did you mean 'epochs'"),
        ({"training.epoch": 3}, "unknown setting 'training.epoch'"),
        ({"freeze": None}, "setting 'freeze' cannot be None: leave it out, or write a reference"),
        ({"epochs": "five"}, "setting 'training.epochs' cannot be 'five'"),
        ({"data": os}, "data= takes text, numbers, paths, lists and mappings, not a module"),
        ({"head": {"use": "mlp", "hidden": os}}, r"head.hidden= takes .* not a module"),
    ],
)
def test_a_mistake_is_one_message(given: dict[str, Any], message: str) -> None:
    with pytest.raises(FtError, match=message):
        made(**given)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, 'which backbone. Write backbone="PROVIDER:MODEL"'),
        ("torchvision:resnet18", "there is no config torchvision:resnet18; .* write backbone='torchvision:resnet18'"),
        ("gone.yaml", "cannot read the config gone.yaml: No such file"),
        (["backbone"], "a config is a mapping or the path of a file, not a list"),
        ({"backbone": "x:y", "epoch": 3}, "unknown keyword 'epoch'. Did you mean 'epochs'"),
    ],
)
def test_what_is_no_config_is_said(source: Any, message: str) -> None:
    with pytest.raises(FtError, match=message):
        config_of(source, {}, PLUGINS)


def test_a_run_that_goes_on_takes_what_ft_run_takes_beside_resume(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    given = {"freeze": "depth:1", "training": {"epochs": 5}, "auto_batch": True, "data": Path("photos")}
    assert changes_of(None, given, plugins) == {
        "freeze": "depth:1",
        "train": [],
        "training.epochs": 5,
        "training.auto_batch": True,
        "data": str(tmp_path / "photos"),
    }
    for wrong in ({"image_size": 64}, {"images": {"size": 64}}):
        with pytest.raises(
            FtError, match=r"leave out image_size\. Beside it there may be freeze, train, data, .*epochs"
        ):
            changes_of(None, wrong, plugins)
    with pytest.raises(FtError, match=r"leave out training\.momentum"):
        changes_of(None, {"training": {"momentum": 0.5}}, plugins)
    with pytest.raises(FtError, match="leave out the config"):
        changes_of("config.yaml", {}, plugins)
