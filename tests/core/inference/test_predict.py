from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image

from ft import load
from ft.config.schema import Config
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.inference.asked_images import image_paths
from ft.inference.load import Trained, load_trained
from ft.inference.measure import measure
from ft.inference.measure_run import measurable
from ft.inference.predict import predict
from ft.inference.prediction import Prediction
from ft.machine.display import Display
from ft.run.folder import Run
from ft.training.predicting import predict_batches
from ft_data.listing import files_in

MakeConfig = Callable[..., Config]
MACHINE = {"device": "cpu", "precision": "fp32", "workers": 0}


@pytest.fixture
def finished(tiny_config: Callable[..., Config], plugins: Plugins) -> tuple[Run, Any, Config]:
    config = tiny_config(training__epochs=1)
    run, report = finetune(config, plugins, Display())
    return run, report, config


def test_a_saved_model_gives_the_logits_it_gave(finished: tuple[Run, Any, Config], plugins: Plugins) -> None:
    run, _, config = finished
    ready = prepare(config, plugins, Display(), tensors="random")
    run.load_model(ready.model.module)
    trained = load_trained(run, plugins, MACHINE, 8, trust_code=True)
    items = ready.data.val

    def logits(module: torch.nn.Module) -> torch.Tensor:
        return torch.cat([batch for batch, _ in predict_batches(module, items, trained.looking(Display()))])

    assert torch.equal(logits(ready.model.module), logits(trained.module))
    assert trained.preprocessing == ready.built.preprocessing


def test_evaluating_the_validation_split_again_gives_the_reported_figures(
    finished: tuple[Run, Any, Config], plugins: Plugins
) -> None:
    run, report, _ = finished
    trained = load_trained(run, plugins, MACHINE, 8, trust_code=True)
    data = {"use": "demo", "images_per_class": 6, "size": 32}
    evaluation, count = measure(measurable(trained), data, "val", plugins, Display())
    assert count == 4
    assert evaluation == report.val


def test_images_added_to_the_data_bring_no_training_image_into_validation(
    finished: tuple[Run, Any, Config], tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    for number in range(60):
        path = photos / "train" / ("dark", "light")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number + 150 * (number % 2), 0, 0)).save(path)
    config = tiny_config(data=str(photos / "train"), run_dir=tmp_path / "on-photos", training__epochs=1)
    run, report = finetune(config, plugins, Display())
    trained = load_trained(run, plugins, MACHINE, 8, trust_code=True)
    for label in ("dark", "light"):  # now images have another folder in common, so each has another path in it
        (photos / "more" / label).mkdir(parents=True)
        (photos / "train" / label).rename(photos / "more" / label / "old")
        Image.new("RGB", (20, 20), (0, 9, 0)).save(photos / "more" / label / "new.png")
    assert 12 <= measure(measurable(trained), str(photos / "more"), "val", plugins, Display())[1] <= 14
    for new in photos.rglob("new.png"):
        new.unlink()
    evaluation, count = measure(measurable(trained), str(photos / "more"), "val", plugins, Display())
    assert (count, evaluation.tables) == (12, report.val.tables)


def test_images_that_cannot_be_read_are_left_out_of_a_measurement_if_asked(
    finished: tuple[Run, Any, Config], plugins: Plugins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos" / "circle"
    photos.mkdir(parents=True)
    (photos / "bad.png").write_bytes(b"nothing")
    trained = load_trained(finished[0], plugins, MACHINE, 8, trust_code=True)
    with pytest.raises(FtError, match="1 of 1 images cannot be read, which leaves none to measure"):
        measure(measurable(trained), str(photos.parent), "all", plugins, Display(), "skip")
    for number in range(2):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(photos / f"{number}.png")
    with pytest.raises(FtError, match=r"1 of 3 images cannot be read:\n.*bad\.png.*\n.*--bad-images skip"):
        measure(measurable(trained), str(photos.parent), "all", plugins, Display())
    capsys.readouterr()
    evaluation, count = measure(measurable(trained), str(photos.parent), "all", plugins, Display(), "skip")
    assert (count, sum(row["support"] for row in evaluation.plain()["classes"])) == (2, 2)
    said = capsys.readouterr().err
    assert "warning: 1 of 3 images cannot be read and are left out:" in said
    assert "has no image of" not in said
    assert "trained the model" not in said


def test_images_that_the_model_was_trained_on_are_told(
    finished: tuple[Run, Any, Config], plugins: Plugins, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = load_trained(finished[0], plugins, MACHINE, 8, trust_code=True)
    data = {"use": "demo", "images_per_class": 6, "size": 32}
    told = {}
    for split in ("all", "train", "val"):
        capsys.readouterr()
        measure(measurable(trained), data, split, plugins, Display())
        told[split] = "".join(line for line in capsys.readouterr().err.splitlines() if "trained the model" in line)
    every = "20 of these 24 images trained the model; --split val measures on others"
    assert told == {"all": every, "train": "", "val": ""}


def test_data_that_is_no_reference_is_an_error(finished: tuple[Run, Any, Config], plugins: Plugins) -> None:
    trained = load_trained(finished[0], plugins, MACHINE, 8, trust_code=True)
    with pytest.raises(FtError, match="data"):
        measure(measurable(trained), "", "all", plugins, Display())


def test_predictions_are_probabilities_in_order(
    finished: tuple[Run, Any, Config], plugins: Plugins, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.new("RGB", (40, 30), (i * 90, 50, 200)).save(path)
    trained = load_trained(finished[0], plugins, MACHINE, 2, trust_code=True)
    found = answers(trained, paths)
    assert [each.picture.path for each in found] == paths
    for each in found:
        best = said(each, 2)
        assert (len(best["classes"]), best["classes"][0]) == (2, each.answer.label)
        assert best["probabilities"][0] == each.answer.probability >= best["probabilities"][1]
        everything = said(each, 99)
        assert len(everything["classes"]) == 4
        assert sum(everything["probabilities"]) == pytest.approx(1)


def answers(trained: Trained, paths: list[Path]) -> list[Prediction]:
    return [each for some in predict(trained, [*map(Picture.at, paths)], Display()) for each in some]


def said(prediction: Prediction, top: int) -> dict[str, Any]:
    assert prediction.answer is not None
    return prediction.answer.said(top)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_costs_no_other_its_answer(
    finished: tuple[Run, Any, Config], plugins: Plugins, tmp_path: Path, workers: int
) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(9)]
    bad = {0, 3, 4, 5, 8}  # the first, a whole batch and the last ones
    for i, path in enumerate(paths):
        Image.new("RGB", (20, 20), (i * 20, 90, 0)).save(path)
    trained = load_trained(finished[0], plugins, {**MACHINE, "workers": workers}, 3, trust_code=True)
    fine = answers(trained, [path for i, path in enumerate(paths) if i not in bad])
    for i in bad - {8}:
        paths[i].write_bytes(b"nothing")
    paths[8].unlink()
    found = answers(trained, paths)
    assert [each.picture.path for each in found] == paths
    assert {i for i, each in enumerate(found) if each.error} == bad
    assert all(f"cannot read the image {found[i].name}: " in found[i].error and found[i].answer is None for i in bad)
    for one, other in zip([each for each in found if not each.error], fine, strict=True):
        assert (one.name, said(one, 1)["classes"]) == (other.name, said(other, 1)["classes"])
        assert said(one, 4)["probabilities"] == pytest.approx(said(other, 4)["probabilities"])
    assert all(each.error for each in answers(trained, paths[3:6]))


def test_answers_come_batch_by_batch(
    finished: tuple[Run, Any, Config], plugins: Plugins, tmp_path: Path, decoded: list[Path]
) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path in paths:
        Image.new("RGB", (20, 20)).save(path)
    trained = load_trained(finished[0], plugins, MACHINE, 2, trust_code=True)
    found = predict(trained, [*map(Picture.at, paths)], Display())
    for number in range(1, 4):
        assert len(next(found)) == 2
        assert decoded == paths[: 2 * number]


def test_an_image_of_which_the_model_makes_no_number_has_no_answer(
    finished: tuple[Run, Any, Config], plugins: Plugins, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 20)).save(path)
    trained = load_trained(finished[0], plugins, MACHINE, 2, trust_code=True)
    for tensor in trained.module.parameters():
        tensor.data.fill_(torch.nan)
    (found,) = answers(trained, [path])
    assert f"the model makes no number (NaN or infinite) of {path}" in found.error
    assert found.answer is None


def test_code_named_in_a_model_file_is_not_run_unless_trusted(
    finished: tuple[Run, Any, Config], plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=r"model\.json names the code .*--trust-code"):
        load_trained(finished[0], plugins, MACHINE, 8, trust_code=False)


def test_a_class_that_the_model_does_not_know_is_named(
    finished: tuple[Run, Any, Config], plugins: Plugins, tmp_path: Path
) -> None:
    (tmp_path / "photos" / "circel").mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(tmp_path / "photos" / "circel" / "a.png")
    trained = load_trained(finished[0], plugins, MACHINE, 8, trust_code=True)
    with pytest.raises(FtError, match=r"'circel' is no class of the training images.*Did you mean 'circle'"):
        measure(measurable(trained), str(tmp_path / "photos"), "all", plugins, Display())


def test_the_nearest_runs_are_named_where_there_is_no_such_folder(tmp_path: Path, plugins: Plugins) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    (tmp_path / "fist").mkdir()  # no run
    for use in (lambda run: load_trained(run, plugins, MACHINE, 8, trust_code=False), lambda run: run.config(True)):
        with pytest.raises(FtError) as failed:
            use(Run(tmp_path / "frist"))
        assert str(failed.value) == f"there is no folder {tmp_path}/frist. Did you mean {tmp_path}/first?"


def test_the_latest_run_is_the_one_that_was_saved_last_unless_one_has_that_name(
    finished: tuple[Run, Any, Config], ft: Callable[..., Result]
) -> None:
    run = finished[0].path
    Image.new("RGB", (16, 16)).save("a.png")
    with pytest.raises(FtError, match=r"^none/latest is the latest finished run in none, and there is none$"):
        load("none/latest")
    for name, saved in (("b", 20), ("c", 10), ("a", 10)):
        shutil.copytree(run, Path("runs") / name)
        os.utime(Path("runs") / name / "model.safetensors", (saved, saved))
    shutil.copytree(run, "runs/unfinished")
    Path("runs/unfinished/model.safetensors").unlink()
    asked = ("predict", "runs/latest", "a.png", "--device", "cpu", "--workers", "0", "--trust-code")
    assert "runs/latest is runs/b\n" in ft(*asked).stderr
    how: Any = {"device": "cpu", "workers": 0, "trust_code": True}
    assert load("runs/latest", **how).path == Path("runs/b").absolute()
    shutil.copytree(run, "runs/latest")
    assert load("runs/latest", **how).path == Path("runs/latest").absolute()
    assert "runs/latest is" not in ft(*asked).stderr


def test_an_unfinished_run_is_said_to_be_one(tmp_path: Path, plugins: Plugins) -> None:
    with pytest.raises(FtError, match=r"holds no model\.json"):
        load_trained(Run(tmp_path), plugins, MACHINE, 8, trust_code=False)


@pytest.mark.parametrize(("key", "value"), [("batch_size", 0), ("workers", -1), ("precision", "fp64")])
def test_how_a_model_is_used_is_named_as_it_was_given(key: str, value: Any, tmp_path: Path, plugins: Plugins) -> None:
    given = {"batch_size": 8, **MACHINE, key: value}
    with pytest.raises(FtError, match=f"^setting '{key}' cannot be '?{value}'?: "):
        load_trained(Run(tmp_path), plugins, given, given.pop("batch_size"), trust_code=False)


def test_a_size_that_the_network_does_not_take_is_named(finished: tuple[Run, Any, Config], plugins: Plugins) -> None:
    path = finished[0].path / "model.json"
    about = json.loads(path.read_text())
    about["backbone"] = "torchvision:squeezenet1_1"
    about["preprocessing"] |= {"crop_size": 4, "resize_size": 4}
    path.write_text(json.dumps(about))
    with pytest.raises(
        FtError, match=r"squeezenet1_1 needs images of at least \d+ px; the size 4 px in model\.json is"
    ):
        load_trained(finished[0], plugins, MACHINE, 8, trust_code=True)


def test_folders_in_folders_without_end_are_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    usual = sys.getrecursionlimit()
    for _ in range(400):
        os.mkdir("d")
        os.chdir("d")
    Image.new("RGB", (4, 4)).save("deepest.png")
    os.chdir(tmp_path)
    try:
        sys.setrecursionlimit(len(inspect.stack()) + 200)
        assert [path.name for path in image_paths([str(tmp_path)])] == ["deepest.png"]
        assert [path.name for path in files_in(tmp_path).images] == ["deepest.png"]
    finally:
        sys.setrecursionlimit(usual)
        subprocess.run(["rm", "-rf", "d"], cwd=tmp_path, check=True)  # pytest's own removal calls itself, too
