"""A finished run's answers, explained, from Python."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ft
from conftest import TINY
from ft.data.pictures import Picture
from ft.extension.tasks import LabelSpace
from ft.inference.explain import explainer
from ft.inference.explanation import Explanation
from ft.inference.load import Trained, load_trained
from ft.inference.loaded import LoadedModel
from ft.machine.display import Display
from ft.run.folder import Run

pytestmark = pytest.mark.trains  # the run whose answers are explained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("explained")
    keys: dict[str, Any] = {
        "backbone": f"{TINY}:small",
        "weights": "none",
        "image_size": 16,
        "precision": "fp32",
        "device": "cpu",
        "data": {"use": "demo", "images_per_class": 6, "size": 32},
        "workers": 0,
        "epochs": 1,
        "batch_size": 8,
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FT_CACHE", str(folder / "cache"))
        yield ft.finetune(**keys, run_dir=folder / "run").path


@pytest.fixture
def model(run: Path) -> LoadedModel:
    return ft.load(run, batch_size=2, workers=0, device="cpu", trust_code=True)


@pytest.fixture
def trained(run: Path) -> Trained:
    from ft.extension.installed import load_plugins

    machine = {"device": "cpu", "precision": "fp32", "workers": 0}
    return load_trained(Run(run), load_plugins(), machine, 2, trust_code=True)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = []
    for number in range(5):
        drawn = np.random.default_rng(number).integers(256, size=(30, 40 + number, 3), dtype=np.uint8)
        made.append(tmp_path / f"{number}.png")
        Image.fromarray(drawn).save(made[-1])
    return made


def test_the_answer_is_explained_unless_another_output_is_named(model: LoadedModel, paths: list[Path]) -> None:
    answers, outputs = model.predict(paths), model.module(model.prepare(paths)).detach()
    for row, answer, each in zip(outputs, answers, model.explain(paths), strict=True):
        assert (each.image, each.of, each.output) == (answer.image, answer.label, pytest.approx(float(row.max())))
        assert (each.method, each.layer) == ("Grad-CAM", "layer2")
        assert (each.seen.shape, each.seen.dtype) == ((16, 16), torch.float32)
    for column, name in enumerate(model.classes):
        named = model.explain(paths[0], of=name)
        assert (named.of, named.output) == (name, pytest.approx(float(outputs[0, column])))
        if name == answers[0].label:
            assert torch.equal(named.seen, model.explain(paths[0]).seen)


def test_images_come_as_for_predict(model: LoadedModel, paths: list[Path]) -> None:
    opened = [np.asarray(Image.open(path)) for path in paths]
    expected = model.explain(paths)
    for many in (opened, [Image.open(path) for path in paths], [path.read_bytes() for path in paths]):
        found = model.explain(many)  # type: ignore[arg-type]
        assert [each.image for each in found] == [""] * 5
        assert all(torch.allclose(a.seen, b.seen, atol=1e-5) for a, b in zip(found, expected, strict=True))
    assert model.explain([]) == []
    with pytest.raises(ft.FtError, match="a dict is no image"):
        model.explain({"a": 1})  # type: ignore[call-overload]
    with pytest.raises(ft.FtError, match=r"cannot read the image gone\.png"):
        model.explain([paths[0], "gone.png"])


def test_the_map_lies_over_the_image_as_it_is(model: LoadedModel, tmp_path: Path, paths: list[Path]) -> None:
    turned = Image.open(paths[1])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    each, upright = model.explain([tmp_path / "turned.png", paths[1].read_bytes()])
    assert (each.map.shape, upright.map.shape) == ((41, 30), (30, 41))
    assert each.overlay().size == (30, 41)
    assert upright.overlay(longer_side=20).size == (20, 15)
    left, top, right, bottom = upright.box
    assert 0 < left < right < 41
    outside = upright.map.clone()
    outside[top:bottom, left:right] = 0
    assert not outside.any()
    assert 0 < float(upright.map.max()) <= 1


def test_an_overlay_is_hot_where_the_map_is(model: LoadedModel, paths: list[Path]) -> None:
    each = next(each for each in model.explain(paths) if not each.empty)
    drawn = np.asarray(each.overlay()).astype(int)
    colourful = drawn.max(2) - drawn.min(2)
    left, top, right, bottom = each.box
    inside = np.s_[top + 1 : bottom - 1, left + 1 : right - 1]
    heat = each.map.numpy()[inside]
    assert np.corrcoef(heat.ravel(), colourful[inside].ravel())[0, 1] > 0.3
    assert not colourful[inside][heat == 0].any()


def test_an_empty_map_is_said_and_leaves_the_picture_grey(model: LoadedModel, paths: list[Path]) -> None:
    with torch.no_grad():
        model.module.network.get_submodule("fc").weight.zero_()  # type: ignore[union-attr, operator]
    each = model.explain(paths[0])
    assert each.empty
    assert not each.map.any()
    assert repr(each).endswith("nothing>")
    drawn = np.asarray(each.overlay())
    assert (drawn.max(2) == drawn.min(2)).all()


def test_several_threads_may_ask_while_others_predict(model: LoadedModel, paths: list[Path]) -> None:
    expected, answers = [each.seen for each in model.explain(paths)], model.predict(paths)
    wrong: list[str] = []

    def ask() -> None:
        for _ in range(3):
            found = [each.seen for each in model.explain(paths)]
            if not all(map(torch.equal, found, expected)) or model.predict(paths) != answers:
                wrong.append("other numbers")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_each_picture_may_have_another_output_explained(trained: Trained, paths: list[Path]) -> None:
    pictures, asked = [Picture.at(path) for path in paths], [3, 0, 1, 1, 2]
    found = [each for some in explainer(trained, asked)(trained, pictures, Display()) for each in some]
    for path, number, each in zip(paths, asked, found, strict=True):
        name = trained.space.names[number]
        ((alone,),) = explainer(trained, name)(trained, [Picture.at(path)], Display())
        assert isinstance(each, Explanation)
        assert isinstance(alone, Explanation)
        assert (each.of, each.output) == (name, pytest.approx(alone.output, rel=1e-4, abs=1e-5))
        assert torch.allclose(each.seen, alone.seen, atol=1e-4)


def test_a_name_that_does_not_exist_is_an_error_with_near_names(model: LoadedModel, paths: list[Path]) -> None:
    with pytest.raises(ft.FtError, match=r"no class 'squar' to .* Did you mean 'square'\? There are: circle"):
        model.explain(paths, of="squar")


def test_a_task_whose_largest_output_is_no_answer_asks_for_a_name(trained: Trained) -> None:
    record = replace(trained.task.component.record, picks_largest=False, noun=("target", "targets"))
    task = replace(trained.task, component=replace(trained.task.component, record=record))
    with pytest.raises(ft.FtError, match=r"which of 4 targets is to be explained\? Write --of NAME .*: circle, cross"):
        explainer(replace(trained, task=task))
    assert explainer(replace(trained, task=task), "cross")
    with pytest.raises(ft.FtError, match="has 4 outputs for 2 targets, so no output stands for one"):
        explainer(replace(trained, task=task, space=LabelSpace(("a", "b"), 4)), "a")


def test_numbers_that_are_none_are_said(model: LoadedModel, paths: list[Path]) -> None:
    with torch.no_grad():
        model.module.network.get_submodule("fc").bias.fill_(torch.nan)  # type: ignore[union-attr, operator]
    with pytest.raises(ft.FtError, match="the model makes no number"):
        model.explain(paths)
