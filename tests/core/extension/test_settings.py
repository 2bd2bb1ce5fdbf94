from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from ft import FtError, Settings
from ft.extension.settings import validate


class Inner(BaseModel, extra="forbid"):
    rate: float = Field(0.1, gt=0)


class Outer(Settings):
    name: str
    norm: Literal["batch", "layer"] = "batch"
    inner: Inner = Inner()
    maybe: Inner | None = None
    several: tuple[Inner, ...] = ()


def mistakes(values: dict[str, object], where: str = "head") -> list[str]:
    with pytest.raises(FtError) as error:
        validate(Outer, values, where)
    return str(error.value).splitlines()


def test_values_become_settings() -> None:
    assert validate(Outer, {"name": "x", "several": [{"rate": 2}]}, "head").several == (Inner(rate=2),)


def test_settings_do_not_change_once_read() -> None:
    settings = validate(Outer, {"name": "x"}, "head")
    with pytest.raises(ValidationError):
        settings.name = "y"


def test_an_unknown_key_names_the_nearest_and_all_that_exist() -> None:
    assert mistakes({"name": "x", "nrom": "layer"}) == [
        "unknown setting 'head.nrom'. Did you mean 'norm'? It takes: inner, maybe, name, norm, several"
    ]


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"inner": {"rat": 1}}, "head.inner.rat"),
        ({"maybe": {"rat": 1}}, "head.maybe.rat"),
        ({"several": [{}, {"rat": 1}]}, "head.several.1.rat"),
    ],
)
def test_an_unknown_key_further_down_names_what_that_place_takes(values: dict[str, object], place: str) -> None:
    assert mistakes({"name": "x", **values}) == [f"unknown setting '{place}'. Did you mean 'rate'? It takes: rate"]


def test_a_component_without_settings_says_so() -> None:
    with pytest.raises(FtError, match=r"^unknown setting 'freeze\.all\.x'\. It takes no settings$"):
        validate(Settings, {"x": 1}, "freeze.all")


def test_a_missing_value_says_how_to_give_it() -> None:
    assert mistakes({}, "") == ["setting 'name' is missing; give it with --set name=..."]


def test_an_unfit_value_is_shown_with_what_fits() -> None:
    assert mistakes({"name": "x", "norm": "group"}) == [
        "setting 'head.norm' cannot be 'group': input should be 'batch' or 'layer'"
    ]


def test_every_mistake_gets_a_line() -> None:
    assert len(mistakes({"norm": 1, "inner": {"rate": -1}, "extra": 0})) == 4


def test_keys_that_are_no_text_are_a_mistake_too() -> None:
    assert len(mistakes({"name": "x", 3: 4})) == 1  # type: ignore[dict-item]
