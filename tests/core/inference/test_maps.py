"""Small overlays for pages: bounded in number, and none where none can be made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ft
from conftest import TINY
from ft.data.pictures import Picture
from ft.extension.installed import load_plugins
from ft.extension.tasks import LabelSpace
from ft.inference import maps
from ft.inference.load import Trained, load_trained
from ft.inference.maps import AT_ONCE, draw_maps
from ft.machine.display import Display
from ft.pages.pictures import SIDE
from ft.run.folder import Run

pytestmark = pytest.mark.trains  # the run whose answers are explained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("maps")
    keys: dict[str, Any] = {"backbone": f"{TINY}:small", "weights": "none", "image_size": 16, "precision": "fp32"}
    demo = {"use": "demo", "images_per_class": 6, "size": 32}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FT_CACHE", str(folder / "cache"))
        run = ft.finetune(**keys, data=demo, device="cpu", workers=0, epochs=1, run_dir=folder / "run")
        yield load_trained(Run(run.path), load_plugins(), {"device": "cpu", "workers": 0}, 8, trust_code=True)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    for number in range(8):
        drawn = np.random.default_rng(number).integers(256, size=(200, 300, 3), dtype=np.uint8)
        Image.fromarray(drawn).save(tmp_path / f"{number}.png")
    return [Picture.at(tmp_path / f"{number}.png") for number in range(8)]


def test_each_asked_output_of_each_image_has_a_small_overlay(trained: Trained, pictures: list[Picture]) -> None:
    made = draw_maps(trained, [(3, 1), (5, 0), (3, 2), (3, 1)], pictures.__getitem__, Display())
    assert set(made.drawn) == {(3, 1), (5, 0), (3, 2)}
    assert made.method == "Grad-CAM (Selvaraju et al. 2017) at layer2"
    assert not made.lacking
    colourless = [np.ptp(np.asarray(Image.open(BytesIO(each))), axis=2).max() < 12 for each in made.drawn.values()]
    assert made.empty == sum(colourless)
    small = Image.open(BytesIO(made.drawn[3, 1]))
    assert max(small.size) <= SIDE
    assert small.width > small.height


def test_no_further_batch_begins_when_time_is_over(
    trained: Trained, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "SECONDS", 0.0)
    made = draw_maps(trained, [(place, 0) for place in range(8)], pictures.__getitem__, Display())
    assert set(made.drawn) == {(place, 0) for place in range(AT_ONCE)}
    assert made.lacking == f"there was time for {AT_ONCE} of 8 maps"


def test_an_image_that_is_gone_has_none_and_the_others_have(trained: Trained, pictures: list[Picture]) -> None:
    assert pictures[1].path is not None
    pictures[1].path.unlink()
    some = [*pictures[:3], None]
    made = draw_maps(trained, [(place, 0) for place in range(4)], some.__getitem__, Display())
    assert set(made.drawn) == {(0, 0), (2, 0)}


def test_where_no_output_stands_for_a_name_there_are_none_and_it_is_said(
    trained: Trained, pictures: list[Picture]
) -> None:
    made = draw_maps(replace(trained, space=LabelSpace(("a",), 4)), [(0, 0)], pictures.__getitem__, Display())
    assert made.drawn == {}
    assert "no output stands for one" in made.lacking
