"""Whose layer an exception came out of, in training, in a feature pass, and when a run is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import nn

from ft.config.schema import Config
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.extension.installed import load_plugins
from ft.finetune import finetune
from ft.inference.load import load_trained
from ft.inference.predict import predict
from ft.machine.display import Display
from ft.model.layer_notes import Layers, noted_layers

HEAD = """
import os
from torch import nn

class Odd(nn.Linear):
    def forward(self, x):
        if len(x) > 2 and os.environ.get("FAILS"):  # a head is tried with two images
            raise KeyError("mine")
        return super().forward(x)

class Head:
    def build(self, dim, classes, settings):
        return Odd(dim, classes)
"""


class Faulty(nn.Module):
    def forward(self, x: Any) -> Any:
        raise KeyError("mine")


class Calm(nn.Module):
    def forward(self, x: Any) -> Any:
        return x


def notes_of(layers: Layers, call: Callable[[], Any]) -> list[str]:
    with pytest.raises(KeyError) as caught, noted_layers(layers):
        call()
    return list(getattr(caught.value, "__notes__", []))


def test_the_layer_and_its_plugin_are_named() -> None:
    network = nn.Sequential(nn.Sequential(Faulty()), Calm())
    layers = Layers(network, ("1",), "backbone provider 'x' of ft-x 1.0", "head builder 'y' of ft-y 2.0")
    (note,) = notes_of(layers, lambda: network(1))
    line = Faulty.forward.__code__.co_firstlineno
    assert note == f"raised in forward of Faulty, of backbone provider 'x' of ft-x 1.0 ({__file__}:{line})"
    turned = nn.Sequential(nn.Sequential(Calm()), Faulty())
    (note,) = notes_of(Layers(turned, ("1",), layers.provider, layers.head_builder), lambda: turned(1))
    assert note.startswith("raised in forward of Faulty, of head builder 'y' of ft-y 2.0 (")


def test_what_came_out_of_no_layer_is_left_as_it_is() -> None:
    layers = Layers(nn.Sequential(Calm()), (), "provider", "builder")
    assert notes_of(layers, lambda: {}["mine"]) == []
    with pytest.raises(FtError) as caught, noted_layers(layers):
        raise FtError("said")
    assert not hasattr(caught.value, "__notes__")


def test_layers_of_torch_alone_are_their_providers() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    layers = Layers(network, ("0",), "provider", "builder")
    with pytest.raises(TypeError) as caught, noted_layers(layers):
        network("no tensor")
    (note,) = caught.value.__notes__
    assert note.startswith("raised in forward of Linear, of builder (")


@pytest.mark.parametrize("cache", ["off", "auto"])
def test_a_run_says_whose_layer_failed(
    cache: str, tmp_path: Path, tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.py").write_text(HEAD)
    config = tiny_config(head=f"{tmp_path}/odd.py:Head", freeze=["all"], cache__promise=cache, training__epochs=1)
    monkeypatch.setenv("FAILS", "1")
    with pytest.raises(KeyError) as caught:
        finetune(config, load_plugins(), Display())
    (note,) = caught.value.__notes__
    assert note.startswith("raised in forward of Odd, of head builder 'Head' of ")


def test_a_run_that_is_used_says_whose_layer_failed(
    tmp_path: Path, tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.py").write_text(HEAD)
    config = tiny_config(head=f"{tmp_path}/odd.py:Head", freeze=["all"], training__epochs=1)
    run, _ = finetune(config, load_plugins(), Display())
    trained = load_trained(run, load_plugins(), {"device": "cpu", "workers": 0}, 8, trust_code=True)
    monkeypatch.setenv("FAILS", "1")
    for number in range(4):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / f"{number}.png")
    with pytest.raises(KeyError) as caught:
        list(predict(trained, [*map(Picture.at, tmp_path.glob("*.png"))], Display()))
    assert caught.value.__notes__[0].startswith("raised in forward of Odd, of head builder 'Head' of ")
