"""An exported folder in place of a run."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

import ft
from ft import FtError, Preprocessing
from ft.data.pictures import Picture
from ft.data.transforms import eval_transform, normalise
from ft.data.turned import EIGHT
from ft.exporting.prepare import Prepare
from ft.inference.self_contained import Seeing
from ft_augment.quarters import positions
from serving import Client
from without_torch import BARRED

pytestmark = [pytest.mark.trains, pytest.mark.slow]
Ft = Callable[..., Result]
WITHOUT_TORCH = f"""{BARRED}
sys.argv[0] = "ft"
from ft.cli import main
main()
"""


def images(run: Path) -> list[str]:
    with (run / "images.csv").open(encoding="utf-8", newline="") as file:
        return [row["path"] for row in csv.DictReader(file)][::3]


def test_an_exported_folder_answers_without_torch_as_the_run_does(ft: Ft, run: Path, onnx: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, "predict", str(onnx), *images(run), "--all", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = json.loads(ft("predict", str(run), *images(run), "--all", "--json", "--trust-code").stdout)
    for ours, theirs in zip(expected, json.loads(done.stdout), strict=True):
        assert (ours["path"], ours["classes"]) == (theirs["path"], theirs["classes"])
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)


def test_it_is_served_without_torch_as_the_run_answers(ft: Ft, run: Path, onnx: Path) -> None:
    command = [sys.executable, "-u", "-c", WITHOUT_TORCH, "serve", str(onnx), "--port", "0", "--tta", "flip"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        client = Client(process.stdout.readline().split()[0])
        asked = client.post("/predict?all=true", *[Path(path).read_bytes() for path in images(run)])
        told = client.post("/explain", Path(images(run)[0]).read_bytes())
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "stopped; what had come was answered\n")
    assert asked.status_code == 200, asked.text
    flags = ("--all", "--json", "--tta", "flip", "--trust-code")
    expected = json.loads(ft("predict", str(run), *images(run), *flags).stdout)
    for ours, theirs in zip(expected, asked.json(), strict=True):
        assert ours["classes"] == theirs["classes"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)
    assert told.json()["map"] is None
    assert "this is an exported model, which gives answers alone" in told.json()["lacking"]


@pytest.mark.parametrize("workers", ["0", "3"])
def test_answers_come_in_the_order_of_the_images(ft: Ft, run: Path, onnx: Path, workers: str) -> None:
    flags = ("--json", "--batch-size", "4", "--workers", workers)
    told = json.loads(ft("predict", str(onnx), *images(run), *flags).stdout)
    assert [each["path"] for each in told] == images(run)


def test_a_folder_that_takes_the_networks_size_resizes_before_it(ft: Ft, run: Path, tmp_path: Path) -> None:
    ft("export", str(run), "--format", "torch-export", "--images", "network", "--out", "small", "--trust-code")
    told = [
        json.loads(ft("predict", folder, *images(run), "--all", "--json", "--trust-code").stdout)
        for folder in (str(run), "small")
    ]
    for ours, theirs in zip(*told, strict=True):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)


def test_it_is_measured_as_the_run_is_on_the_same_split(ft: Ft, run: Path, onnx: Path) -> None:
    data = str(run.parent / "photos")
    for split in ("val", "all"):
        ours, theirs = (
            json.loads(ft("evaluate", str(folder), data, "--split", split, "--json", "--trust-code").stdout)
            for folder in (run, onnx)
        )
        assert ours.pop("loss") == pytest.approx(theirs.pop("loss"), abs=1e-5)
        assert ours == theirs
    assert ours["images"] == 40


def test_it_is_measured_without_torch(ft: Ft, run: Path, onnx: Path) -> None:
    asked = [str(onnx), str(run.parent / "photos"), "--split", "val"]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, "evaluate", *asked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ft("evaluate", *asked).stdout
    assert "accuracy" in done.stdout


def test_it_ranks_and_copies_as_a_run_does(ft: Ft, run: Path, onnx: Path, tmp_path: Path) -> None:
    asked = (*images(run), "--rank", "uncertain", "--json", "--copy-to")
    ours, theirs = (
        json.loads(ft("predict", str(folder), *asked, str(tmp_path / folder.name), "--trust-code").stdout)
        for folder in (run, onnx)
    )
    assert [each["path"] for each in ours] == [each["path"] for each in theirs]
    copied = [
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*.png"))
        for name in ("run", "onnx")
    ]
    assert copied[0] == copied[1]
    assert copied[0]


@pytest.mark.parametrize("size", ["any", "network"])
@pytest.mark.parametrize(("fit", "resize"), [("crop", 16), ("crop", 19), ("squash", 16), ("pad", 16)])
def test_views_are_those_that_a_run_sees_pixel_by_pixel(
    size: Literal["any", "network"], fit: Literal["crop", "squash", "pad"], resize: int
) -> None:
    about = Preprocessing(16, resize, fit=fit)
    prepare = Prepare(about, size, EIGHT)
    pixels = np.random.default_rng(0).integers(0, 256, (31, 44, 3), dtype=np.uint8)
    asked = prepare.of_image(Image.fromarray(pixels))[None]
    seeing = Seeing(about, any_size=size == "any")
    square = eval_transform(about)(torch.from_numpy(pixels).permute(2, 0, 1))
    for view, expected in zip(
        EIGHT, (position(square) for position in positions(rotate=True, mirror=True)), strict=True
    ):
        given = torch.from_numpy(prepare.seen_in(view, asked))
        assert torch.equal(seeing(given), normalise(expected[None], about))


@pytest.mark.parametrize(("views", "more"), [("views:7", ()), ("flip", ("--rank", "uncertain"))])
def test_views_are_averaged_as_by_the_run_and_without_torch(
    views: str, more: tuple[str, ...], ft: Ft, run: Path, onnx: Path
) -> None:
    asked = (*images(run), "--tta", views, "--all", "--json", *more)
    if more:
        told = ft("predict", str(onnx), *asked).stdout
    else:
        command = [sys.executable, "-c", WITHOUT_TORCH, "predict", str(onnx), *asked]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told = done.stdout
    flipped, plain = (
        json.loads(ft("predict", str(run), *how, "--json", "--all", "--trust-code", *more).stdout)
        for how in (asked[:-2], images(run))
    )
    for ours, theirs in zip(flipped, json.loads(told), strict=True):
        assert (ours["path"], ours["classes"]) == (theirs["path"], theirs["classes"])
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)
    assert [each["probabilities"] for each in plain] != [each["probabilities"] for each in flipped]


def test_it_is_measured_over_mirrored_copies_as_the_run_is(ft: Ft, run: Path, onnx: Path) -> None:
    asked = (str(run.parent / "photos"), "--split", "val", "--tta", "flip", "--json", "--trust-code")
    ours, theirs = (json.loads(ft("evaluate", str(folder), *asked).stdout) for folder in (run, onnx))
    assert ours.pop("loss") == pytest.approx(theirs.pop("loss"), abs=1e-5)
    assert ours == theirs
    assert ours["tta"] == "flip"


def test_an_exported_folder_writes_files_that_are_gone_on_with(
    ft: Ft, run: Path, onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("predict", str(onnx), *images(run), "--batch-size", "4", "--workers", "0", "--out")
    ft(*asked, "whole.csv")
    read = Prepare.__call__

    def stopping(self: Prepare, picture: Picture) -> Any:
        if picture.name == images(run)[9]:
            raise KeyboardInterrupt
        return read(self, picture)

    with monkeypatch.context() as patched:
        patched.setattr(Prepare, "__call__", stopping)
        assert ft(*asked, "answers.csv", fails=True).exit_code
    assert "8 of 14 images have their answers already" in ft(*asked, "answers.csv", "--resume").stderr
    assert Path("answers.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--unknown",), "--unknown compares features, which an exported model does not give"),
        (("--device", "cuda"), "--device cuda: .* holds an exported model, which its own program computes on the CPU"),
        (
            ("--tta", "views:9"),
            "--tta views:9: the augmentation of .*onnx has 8 views; use --tta views:8",
        ),
        (("--precision", "bf16"), "--precision bf16: .* holds an exported model"),
    ],
)
def test_flags_that_say_nothing_to_it_are_refused_by_name(
    ft: Ft, run: Path, onnx: Path, flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(FtError, match=message):
        raise ft("predict", str(onnx), images(run)[0], *flags, fails=True).exception or AssertionError


def test_what_it_lacks_or_is_no_run_for_is_told(ft: Ft, run: Path, onnx: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in ("export.json", "labels.txt"):
        (copied / name).write_bytes((onnx / name).read_bytes())
    assert "lacks model.onnx; export it again" in str(ft("predict", "copied", images(run)[0], fails=True).exception)
    with pytest.raises(FtError, match="holds an exported model, which ft predict and ft evaluate take; for anything"):
        raise ft("explain", str(onnx), images(run)[0], "--out", "maps", fails=True).exception or AssertionError
    text = (copied / "export.json").read_text().replace('"use": "classification"', '"use": "./mine.py:Task"')
    (copied / "export.json").write_text(text.replace('"task": "classification"', '"task": "./mine.py:Task"'))
    with pytest.raises(FtError, match="names the code"):
        raise ft("predict", "copied", images(run)[0], fails=True).exception or AssertionError


def _pipe(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


def _device(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("/dev/zero")


def _folder(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()


def _cut(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:1000])


def _other_output(folder: Path) -> None:
    text = (folder / "export.json").read_text()
    (folder / "export.json").write_text(re.sub(r'"outputs": \[\s*"\w+"', '"outputs": ["nope"', text))


def _other_classes(folder: Path) -> None:
    told = json.loads((folder / "export.json").read_text())
    told["model"]["classes"].append("another")
    (folder / "export.json").write_text(json.dumps(told))


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_pipe, "it is a pipe, not a plain file"),
        (_device, "it is a device, not a plain file"),
        (_folder, "Is a directory"),
        (_cut, "cannot be loaded as onnx: .*; export it again"),
        (_other_output, "the output 'nope' of (1 image|4 images) is missing"),
        (_other_classes, r"the output '\w+' of (1 image|4 images) is \[\d+, \d\], not \[\d+, \d\] as export.json says"),
    ],
)
def test_a_folder_that_somebody_changed_is_refused_in_words(
    ft: Ft, run: Path, onnx: Path, tmp_path: Path, damage: Callable[[Path], None], message: str, command: str
) -> None:
    shutil.copytree(onnx, tmp_path / "changed")
    damage(tmp_path / "changed")
    asked = images(run)[:1] if command == "predict" else [str(Path(images(run)[0]).parent.parent), "--split", "all"]
    with pytest.raises(FtError, match=message):
        raise ft(command, "changed", *asked, fails=True).exception or AssertionError


def test_python_exports_and_shows_what_the_command_prints(run: Path, tmp_path: Path) -> None:
    made = ft.export(run, "safetensors", out=tmp_path / "weights", trust_code=True)
    assert made.path == tmp_path / "weights"
    assert repr(made) == f"<safetensors in fp32 in {made.path}>"
    assert "8 of 8 answers equal" in str(made)
    assert ft.load(made, trust_code=True).classes == ("blue", "green", "red", "white")
    with pytest.raises(FtError, match="max_drop is for fp16 and int8"):
        ft.export(run, "onnx", max_drop=3)
