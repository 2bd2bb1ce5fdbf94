from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st
from pydantic import BaseModel

from faults.repetitions import times
from ft import FtError
from ft.config.loading import load_config
from ft.config.merging import Typed, merge
from ft.config.schema import ComponentConfig, Config
from ft.extension.settings import validate
from ft.text.documents import as_yaml

BACKBONE = {"backbone": "torchvision:resnet18"}


def said(component: ComponentConfig) -> Any:
    return component.model_dump(mode="json")


def mistake(*sets: str, **flags: Any) -> str:
    with pytest.raises(FtError) as error:
        load_config(sets=sets, flags={**BACKBONE, **flags})
    return str(error.value)


@pytest.mark.parametrize("kind", ["freeze", "train"])
def test_a_setting_goes_into_the_one_component_that_a_flag_names(kind: str) -> None:
    config = load_config(sets=[f"{kind}.images=3"], flags={**BACKBONE, kind: ["fisher:1"]})
    assert [said(rule) for rule in getattr(config, kind)] == [{"use": "fisher:1", "images": 3}]


def test_of_several_components_the_number_says_which() -> None:
    rules = ["all", "fisher:1"]
    assert [
        said(rule) for rule in load_config(sets=["freeze.1.images=3"], flags={**BACKBONE, "freeze": rules}).freeze
    ] == ["all", {"use": "fisher:1", "images": 3}]
    assert mistake("freeze.images=3", freeze=rules) == (
        "--set freeze.images=3: freeze has 2 items; say which one you mean: "
        "freeze.0.images (all), freeze.1.images (fisher:1)"
    )
    assert "freeze.1.images (fisher:1)" in mistake("freeze.7.images=3", freeze=rules)


def test_a_setting_of_nothing_says_how_to_name_something() -> None:
    assert mistake("freeze.images=3") == (
        "--set freeze.images=3: freeze is empty; write --set 'freeze={use: NAME, images: ...}'"
    )
    assert mistake("groups.0.lr=1").endswith("write --set 'groups=[{lr: ...}]'")


@pytest.mark.parametrize("text", ["freeze.0=none", "freeze.0.use=none"])
def test_one_rule_of_a_list_is_not_replaced_behind_a_flags_back(text: str) -> None:
    assert mistake(text, freeze=["all"]).startswith(f"--set {text}: ")


def test_a_group_is_found_by_its_number_and_as_the_only_one(tmp_path: Path) -> None:
    file = tmp_path / "ft.yaml"
    file.write_text(as_yaml({**BACKBONE, "groups": [{"match": "fisher:1", "lr": 0.1}]}))
    for prefix in ("groups", "groups.0"):
        config = load_config(file, [f"{prefix}.lr=0.5", f"{prefix}.match.images=3"])
        assert (config.groups[0].lr, said(config.groups[0].match)) == (0.5, {"use": "fisher:1", "images": 3})


@pytest.mark.parametrize("order", [("head.dropout=0.5", "head=mlp"), ("head=mlp", "head.dropout=0.5")])
def test_a_setting_and_its_component_come_in_either_order(order: tuple[str, str]) -> None:
    assert said(load_config(sets=order, flags=BACKBONE).head) == {"use": "mlp", "dropout": 0.5}


def test_a_setting_that_is_typed_stays_with_the_component_that_is_typed() -> None:
    flags = {**BACKBONE, "head": "cosine"}
    config = load_config(sets=["head.use=mlp", "head.hidden=[3]"], flags=flags)
    assert said(config.head) == {"use": "cosine", "hidden": [3]}, "the head refuses it, as it does not know it"


def test_a_setting_without_its_component_is_the_usual_ones() -> None:
    assert said(load_config(sets=["data.size=32"], flags=BACKBONE).data) == {"use": "demo", "size": 32}


def test_a_files_settings_go_with_its_component_and_stay_with_it(tmp_path: Path) -> None:
    file = tmp_path / "ft.yaml"
    file.write_text(as_yaml({**BACKBONE, "head": {"use": "mlp", "hidden": [3]}}))
    assert said(load_config(file, flags={"head": "mlp"}).head) == {"use": "mlp", "hidden": [3]}
    assert said(load_config(file, flags={"head": "linear"}).head) == "linear"
    assert said(load_config(file, ["head={dropout: 0.1}"]).head) == {"use": "mlp", "hidden": [3], "dropout": 0.1}


def test_where_weights_are_looked_for_stays_when_other_weights_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "ft.yaml"
    file.write_text(as_yaml({**BACKBONE, "weights": {"use": "default", "sources": ["mirror:http://m"], "key": "ema"}}))
    weights = load_config(file, flags={"weights": "IMAGENET1K_V2"}).weights
    assert (weights.use, weights.sources) == ("IMAGENET1K_V2", ("mirror:http://m",))
    assert said(load_config(file, flags={"weights": "none"}).weights) == "none"


def test_a_section_given_whole_changes_the_keys_it_names(tmp_path: Path) -> None:
    file = tmp_path / "ft.yaml"
    file.write_text(as_yaml({**BACKBONE, "training": {"epochs": 3, "patience": 2}, "prefer": {"head:a": "x"}}))
    config = load_config(file, ["training={epochs: 4}", "prefer={head:b: y}"])
    assert (config.training.epochs, config.training.patience) == (4, 2)
    assert config.prefer == {"head:a": "x", "head:b": "y"}


def test_a_list_of_values_is_given_whole() -> None:
    assert mistake("weights.sources.0=b", **{"weights.sources": ["a"]}) == (
        "--set weights.sources.0=b: weights.sources is ['a'], which has no key '0'; "
        "give the whole list: --set 'weights.sources=[...]'"
    )


def test_a_key_below_what_holds_no_keys_is_told() -> None:
    assert mistake("training=3", **{"training.lr": 0.1}) == "training.lr: training is 3, which has no key 'lr'"
    assert mistake("seed=3", "seed.x=1") == "--set seed.x=1: seed is 3, which has no key 'x'"


def test_use_may_be_a_setting_of_a_components_own_mapping() -> None:
    config = load_config(sets=["backbone.arguments.use=3"], flags=BACKBONE)
    assert config.backbone.settings == {"arguments": {"use": 3}}


def keys_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            found += [f"{prefix}{name}", *keys_of(below, f"{prefix}{name}.")]
        else:
            found.append(f"{prefix}{name}")
    return found


KEYS = keys_of(Config)
PATHS = st.sampled_from(KEYS) | st.builds(
    "{}.{}".format,
    st.sampled_from([*KEYS, "freeze.0", "train.1", "groups.0", "groups.0.match"]),
    st.sampled_from(["own", "lr", "match", "0", "use", "2.own", "x.y"]),
)
VALUES = st.sampled_from(
    [3, 0.5, "a:b", "none", "fast", True, ["all"], [1, 2], {"use": "c", "own": 1}, {"own": 2}, {"lr": 0.3}]
)
RULES = st.lists(st.sampled_from(["all", "depth:2", "fisher:1"]), min_size=1, max_size=3)
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "freeze": RULES,
        "train": RULES,
        "head": st.sampled_from(["mlp", "linear"]),
        "data": st.just("./photos"),
        "weights": st.sampled_from(["none", "local:x"]),
        "weights.sources": st.just(["official"]),
        "training.lr": st.just(0.25),
    },
)
FILES: Any = st.sampled_from(
    [{}, {"freeze": "all", "groups": [{"match": "all", "lr": 0.1}]}, {"head": {"use": "mlp", "own": 7}, "train": ["a"]}]
)


def found_at(config: Any, path: list[str]) -> Any:
    """The value at a path, of the only item where a list is passed without a number."""
    if not path:
        return config
    key, *rest = path
    if isinstance(config, tuple | list):
        number, rest = (int(key), rest) if key.isdecimal() else (0, path)
        assert key.isdecimal() or len(config) == 1
        return found_at(config[number], rest)
    if isinstance(config, ComponentConfig) and key in config.settings:
        return found_at(config.settings[key], rest)
    return found_at(config[key] if isinstance(config, dict) else getattr(config, key), rest)


def says(got: Any, value: Any) -> bool:
    """Whether a part of a config says what was typed, and perhaps more."""
    if isinstance(got, BaseModel):
        if isinstance(value, str):
            return isinstance(got, ComponentConfig) and got.use == value
        got = {**dict(got), **(got.settings if isinstance(got, ComponentConfig) else {})}
    if isinstance(got, tuple | list):
        values = value if isinstance(value, list) else [value]
        return len(values) == len(got) and all(map(says, got, values))
    if isinstance(value, dict):
        return all(says(got[key], each) for key, each in value.items())
    return bool(got == value) or (isinstance(got, Path) and got == Path(value))


@settings(max_examples=times(100, 30))
@given(PATHS, VALUES, FLAGS, FILES)
@example("training", 3, {"training.lr": 0.25}, {})
@example("freeze.own", 3, {"freeze": ["all"]}, {})
@example("weights.own", 3, {"weights": "local:x"}, {})
@example("freeze.0.own", 3, {}, {"freeze": ["depth:1", "all"]})
@example("head.own", 3, {"head": "linear"}, {"head": {"use": "mlp", "own": 7}})
def test_whatever_is_set_is_in_the_config_or_is_refused(
    path: str, value: Any, flags: dict[str, Any], file: dict[str, Any]
) -> None:
    """But for the very key that a flag gives, too: of one key, the later value wins."""
    typed = [
        Typed(tuple(path.split(".")), value, "--set"),
        *(Typed(tuple(k.split(".")), v, k) for k, v in flags.items()),
    ]
    with suppress(FtError):
        config = validate(Config, merge(Config, {**BACKBONE, **file}, typed), "")
        whole = path.removesuffix(".use")
        if isinstance(value, dict):
            value = {key: each for key, each in value.items() if f"{whole}.{key}" not in flags}
        assert whole in flags or says(found_at(config, whole.split(".")), value)
        for key, typed_too in flags.items():
            assert says(found_at(config, key.split(".")), typed_too)
