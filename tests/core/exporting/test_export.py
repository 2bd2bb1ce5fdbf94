"""From a run to a folder that other programs use."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

import ft
import warm_python
from faults.repetitions import FULL
from ft import Exporter, FtError, Portable
from ft.config.component import ComponentConfig
from ft.data.turned import EIGHT, FLIPPED, View
from ft.exporting.chosen import Wanted
from ft.exporting.export import export
from ft.exporting.over_views import views_of
from ft.extension.installed import Component, Plugin, Plugins, load_plugins
from ft.extension.kinds import KINDS
from ft.machine.display import Display
from ft.machine.files import temporary_beside
from ft.reporting.finished import read_finished
from ft.run.folder import Run

pytestmark = [pytest.mark.trains, pytest.mark.slow]
MINE = Wanted("mine")
Spoil = Callable[[Portable, dict[str, Any]], None]


def validated(run: Path) -> list[Path]:
    with (run / "images.csv").open(encoding="utf-8", newline="") as file:
        return [Path(row["path"]) for row in csv.DictReader(file) if row["split"] == "val"]


def test_the_folder_holds_the_file_and_what_it_takes_to_use_it(onnx: Path) -> None:
    assert sorted(path.name for path in onnx.iterdir()) == [
        "README.md",
        "check.py",
        "export.json",
        "golden.npz",
        "images.csv",
        "labels.txt",
        "model.onnx",
        "preprocessing.json",
    ]
    assert (onnx / "labels.txt").read_text() == "blue\ngreen\nred\nwhite\n"
    said = json.loads((onnx / "preprocessing.json").read_text())
    assert said["input"]["height"] == "any"
    assert [step["step"] for step in said["in_the_file"]][:2] == ["resize", "crop the centre"]
    assert said["outputs"] == ["logits", "probabilities"]


def test_the_texts_stand_in_the_files_metadata_and_no_folder_of_this_machine(onnx: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx / "model.onnx"))
    metadata = session.get_modelmeta().custom_metadata_map
    for name in ("preprocessing.json", "labels.txt"):
        assert metadata[name] == (onnx / name).read_text()
    for path in onnx.iterdir():
        assert b"/core/ft/" not in path.read_bytes(), path.name


def test_raw_images_of_any_size_get_what_ft_gives_them(run: Path, onnx: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx / "model.onnx"))
    model = ft.load(run, trust_code=True, workers=0)
    for height, width in ((16, 16), (33, 90), (200, 31)):
        images = np.random.default_rng(height).integers(256, size=(3, height, width, 3), dtype=np.uint8)
        logits, shares = session.run(["logits", "probabilities"], {"images": images})
        expected = [list(answer.every()) and [*answer.every().values()] for answer in model.predict(images)]
        np.testing.assert_allclose(shares, expected, atol=1e-5)
        assert logits.shape == (3, 4)


def test_check_py_needs_the_runtime_and_numpy_alone(onnx: Path, tmp_path: Path) -> None:
    banned = "import sys\nsys.modules.update(dict.fromkeys(['torch', 'ft', 'PIL']))\n"
    program = banned + f"import runpy; runpy.run_path({str(onnx / 'check.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("8 images: the largest difference is ")
    golden = dict(np.load(onnx / "golden.npz"))
    golden["outputs"][3] += 0.5
    (tmp_path / "check.py").write_bytes((onnx / "check.py").read_bytes())
    (tmp_path / "model.onnx").write_bytes((onnx / "model.onnx").read_bytes())
    np.savez(tmp_path / "golden.npz", **golden)
    assert subprocess.run([sys.executable, "check.py"], cwd=tmp_path, capture_output=True).returncode == 1


def test_the_card_says_figures_with_their_intervals_limits_and_whose_it_is(onnx: Path) -> None:
    card = (onnx / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ftkit\n")
    assert "pipeline_tag: image-classification\n" in card
    assert "| accuracy | " in card
    assert "% to " in card
    for title in ("Limits", "Weights, images and their licences", "How to use it"):
        assert f"\n## {title}\n" in card
    assert "session.run" in card


def written(
    run: Path,
    tmp_path: Path,
    spoil: Spoil | None = None,
    wanted: Wanted = MINE,
    hook: tuple[str, Any] | None = None,
    **fields: Any,
) -> Path:
    """Export with an exporter of a test's own, which keeps the module; what is loaded computes a layer otherwise, by a
    `hook`, or has its outputs spoilt."""
    kept: dict[str, Any] = {}

    def keep(model: Portable, folder: Path, settings: Any) -> None:
        (folder / "model.txt").write_text(model.precision)
        kept["model"] = model

    def load(folder: Path) -> Callable[[Any], Mapping[str, Any]]:
        model: Portable = kept["model"]

        def compute(images: Any) -> Mapping[str, Any]:
            whole: Any = getattr(model.module, "whole", model.module)
            handle = hook and whole.network.get_submodule(hook[0]).register_forward_hook(hook[1])
            with torch.no_grad():
                outputs = dict(zip(model.outputs, model.module(torch.from_numpy(images)), strict=False))
            if handle:
                handle.remove()
            if spoil is not None:
                spoil(model, outputs)
            return {name: each.numpy() for name, each in outputs.items()}

        return compute

    record = Exporter("mine", "Keeps the module", keep, load, "model.txt", "import math\n\nmodel = math", **fields)
    own = Plugin("own", "own", "own-dist", "1", "ok", components=(Component(KINDS["exporter"], record, "own", "1"),))
    plugins = Plugins((own, *load_plugins().all))
    return export(Run(run), wanted, tmp_path / "out", plugins, Display(), trust_code=True)


def test_a_file_that_differs_is_refused_with_exit_code_3_and_the_layer_named(run: Path, tmp_path: Path) -> None:
    def otherwise(layer: torch.nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        return output * 1.5

    with pytest.raises(FtError, match="mine does not compute what ft does: outputs differ by up to ") as refused:
        written(run, tmp_path, hook=("layer1.0", otherwise))
    assert getattr(refused.value, "exit_code", None) == 3
    assert "The first layer that differs is layer1.0 (Conv2d), by 0.5 of its largest value." in str(refused.value)
    assert list(tmp_path.iterdir()) == []


SPOILT = """
import torch
from ft import Exporter

kept = []

def export(model, folder, settings):
    (folder / "model.txt").write_text("")
    kept.append(model.module)

def load(folder):
    with torch.no_grad():
        return lambda images: {"logits": kept[-1](torch.from_numpy(images))[0].detach().numpy() + 1}

OURS = Exporter("ours", "Spoils it", export, load, "model.txt", "import math\\n\\nmodel = math")
"""


def test_the_command_ends_with_exit_code_3_and_one_message(run: Path, tmp_path: Path) -> None:
    (tmp_path / "spoilt.py").write_text(SPOILT)
    command = ["export", str(run), "--format", "./spoilt.py:OURS", "--out", "out", "--trust-code"]
    process = warm_python.start("from ft.cli import main; main()", command, tmp_path)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert "error: ours does not compute what ft does: outputs differ by up to 1" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_what_the_network_sees_is_the_first_that_is_looked_at(run: Path, tmp_path: Path) -> None:
    def wrong_everywhere(model: Portable, outputs: dict[str, Any]) -> None:
        outputs["logits"] += 1

    with pytest.raises(FtError, match="It begins with what the network sees"):
        written(run, tmp_path, wrong_everywhere)


def test_an_image_that_fares_otherwise_in_a_batch_is_refused(run: Path, tmp_path: Path) -> None:
    def mixed(model: Portable, outputs: dict[str, Any]) -> None:
        if len(outputs["logits"]) == 3:
            outputs["logits"] += 1

    with pytest.raises(FtError, match="another answer in a batch than alone, by 1"):
        written(run, tmp_path, mixed)


def test_less_precision_that_answers_worse_is_refused(run: Path, tmp_path: Path) -> None:
    def always_the_last(model: Portable, outputs: dict[str, Any]) -> None:
        if model.precision == "int8":
            outputs["logits"][:, -1] += 100
            outputs["logits"][:, 0] -= 100

    report = json.loads((run / "report.json").read_text())
    wanted = Wanted("mine", "int8", max_drop=0.0)
    right = {"accuracy": report["val"]["accuracy"]}
    if right["accuracy"] <= 0.25:
        pytest.fail("the run of these tests has to answer better than by chance")
    with pytest.raises(FtError, match=r"in int8 the accuracy on 8 validation images goes from .* --max-drop allows 0"):
        written(run, tmp_path, always_the_last, wanted, precisions=("int8",))
    folder = written(run, tmp_path, None, wanted, precisions=("int8",))
    speeds = json.loads((folder / "export.json").read_text())["speeds"]
    assert [each["what"] for each in speeds] == ["ft", "mine fp32", "mine int8"]
    assert {each["figure"] for each in speeds} == set(right.values())


@pytest.mark.faults
@pytest.mark.skipif(not FULL, reason="make faults runs it: ten seconds")
def test_answers_over_views_are_compared_and_told_and_checked_by_check_py(
    ft: Callable[..., Result], run: Path, tmp_path: Path
) -> None:
    told = ft("export", str(run), "--format", "onnx", "--tta", "views:8", "--out", "out", "--trust-code").stdout
    assert "over views  --tta views:8: 8 of 8 answers equal" in told
    about = json.loads((tmp_path / "out" / "export.json").read_text())["over_views"]
    measured = ("evaluate", str(run), str(run.parent / "photos"), "--split", "val", "--tta", "views:8", "--json")
    assert about["figure"] == json.loads(ft(*measured, "--trust-code").stdout)["accuracy"]
    assert "(`ft predict --tta views:8`): 8 of 8 answers are ft's own" in (tmp_path / "out" / "README.md").read_text()
    checked = [sys.executable, tmp_path / "out" / "check.py"]
    assert subprocess.run(checked, capture_output=True, text=True).stdout.startswith("8 images, 2 of them in 8 views, ")
    golden = dict(np.load(tmp_path / "out" / "golden.npz"))
    golden["view_outputs"][1, 7] += 0.5
    np.savez(tmp_path / "out" / "golden.npz", **golden)
    assert subprocess.run(checked, capture_output=True).returncode == 1


def test_what_differs_over_views_alone_is_refused(run: Path, tmp_path: Path) -> None:
    def mirrored_otherwise(model: Portable, outputs: dict[str, Any]) -> None:
        if len(outputs["logits"]) == 16:  # so many come together where eight are asked about in two views each
            outputs["logits"][8:] += torch.tensor([1.0, 0, 0, 0])

    with pytest.raises(FtError, match="That is over the views of --tta flip; asked once about each image, it is equal"):
        written(run, tmp_path, mirrored_otherwise, replace(MINE, tta="flip"))
    assert list(tmp_path.iterdir()) == []


def test_only_turned_and_mirrored_squares_are_told_as_views(run: Path) -> None:
    plugins = load_plugins()
    finished = read_finished(Run(run), plugins, trust_code=True)

    def views(augment: dict[str, Any]) -> tuple[View, ...]:
        images = finished.config.images.model_copy(update={"augment": ComponentConfig.model_validate(augment)})
        config = finished.config.model_copy(update={"images": images})
        return views_of(replace(finished, config=config), plugins, Display())

    assert views({"use": "geometric"}) == EIGHT
    assert views({"use": "geometric", "rotate": False}) == (*FLIPPED, View(2), View(2, mirrored=True))
    assert views({"use": "flip"}) == FLIPPED
    assert views({"use": "standard"}) == ()
    assert views({"use": "none"}) == ()


def test_weights_that_ft_loads_say_their_views_too(ft: Callable[..., Result], run: Path, tmp_path: Path) -> None:
    ft("export", str(run), "--format", "safetensors", "--out", "weights", "--tta", "views:8", "--trust-code")
    asked = (str(validated(run)[0]), "--tta", "views:8", "--json", "--trust-code")
    assert ft("predict", "weights", *asked).stdout == ft("predict", str(run), *asked).stdout


def test_images_of_the_networks_size_where_that_is_asked_for(run: Path, tmp_path: Path) -> None:
    folder = written(run, tmp_path, None, Wanted("mine", images="network"), any_size=True)
    said = json.loads((folder / "preprocessing.json").read_text())
    assert (said["input"]["height"], said["input"]["width"]) == (16, 16)
    assert [step["step"] for step in said["before_the_file"]] == ["resize", "crop the centre"]
    assert np.load(folder / "golden.npz")["image_0"].shape == (16, 16, 3)


def test_what_cannot_be_is_told(ft: Callable[..., Result], run: Path, onnx: Path, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        return str(ft("export", str(run), *words, fails=True).exception)

    assert "which format? Write --format NAME, as in --format onnx; there are: litert, onnx, openvino," in said()
    assert "no exporter named 'onx'. Did you mean 'onnx'?" in said("--format", "onx", "--trust-code")
    assert "--format torch-export writes fp32, fp16, not int8" in said(
        *("--format", "torch-export", "--precision", "int8", "--trust-code")
    )
    assert "--max-drop is for fp16 and int8" in said("--format", "onnx", "--max-drop", "2")
    assert "names the code" in said("--format", "onnx")
    assert f"{onnx} is there already; choose another --out" in said(
        *("--format", "safetensors", "--out", str(onnx), "--trust-code")
    )
    assert "leave out training.epochs=3" in said("--format", "onnx", "--set", "training.epochs=3")
    assert "unknown setting 'format.opsett'. Did you mean 'opset'?" in said(
        *("--format", "onnx", "--set", "format.opsett=18", "--trust-code")
    )


@pytest.mark.faults
@pytest.mark.skipif(not FULL, reason="make faults runs it: ten seconds")
def test_the_folders_name_may_be_no_text(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"not \xff text")
    ft.export(run, "torch-export", out=folder.with_suffix(".pt2"), trust_code=True)
    ft.export(run, "onnx", out=folder, trust_code=True)
    checked = subprocess.run([sys.executable, folder / "check.py"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_what_a_killed_export_left_is_swept_by_the_next(run: Path, tmp_path: Path) -> None:
    killed = temporary_beside(tmp_path / "out", pid=0)
    killed.mkdir()
    (killed / "model.txt").write_text("half of it")
    written(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_images_that_are_gone_are_told(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (copied / path.name).write_bytes(path.read_bytes().replace(b"/photos/", b"/gone/"))
    with pytest.raises(FtError, match=r"none of 8 images of its val split is where .* says, as it was"):
        export(Run(copied), Wanted("safetensors"), None, load_plugins(), Display(), trust_code=True)


def test_weights_are_a_folder_that_ft_loads_as_a_run(ft: Callable[..., Result], run: Path, tmp_path: Path) -> None:
    printed = ft("export", str(run), "--format", "safetensors", "--out", "weights", "--trust-code").output
    assert "8 of 8 answers equal" in printed
    image = str(validated(run)[0])
    answers = [
        json.loads(ft("predict", folder, image, "--json", "--trust-code").stdout) for folder in (str(run), "weights")
    ]
    assert answers[0] == answers[1]


def test_images_are_read_as_their_files_say(ft: Callable[..., Result], run: Path, onnx: Path, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 60, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50).save(tmp_path / "deep.png")
    picture.convert("RGBA").save(tmp_path / "see-through.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    images = ["turned.jpg", "deep.png", "see-through.png", "broken.png"]
    told = [
        json.loads(
            ft("predict", str(folder), *images, "--all", "--json", "--bad-images", "skip", "--trust-code").stdout
        )
        for folder in (run, onnx)
    ]
    assert told[0][3]["error"] == told[1][3]["error"]
    for ours, theirs in zip(told[0][:3], told[1][:3], strict=True):
        assert ours["classes"] == theirs["classes"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)
