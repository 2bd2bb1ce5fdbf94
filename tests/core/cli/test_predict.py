"""What `ft predict` does beside answering: every probability, files, sorted copies, strange images first."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pyarrow import parquet
from safetensors.torch import load_file, save_file

import ft
from conftest import TINY
from ft.cli import cli
from ft.errors import FtError
from ft.inference.sorted_copies import copy_into

pytestmark = pytest.mark.trains  # the runs that are asked

Predict = Callable[..., Result]
KEYS: dict[str, Any] = {
    "backbone": f"{TINY}:small",
    "weights": "none",
    "image_size": 16,
    "precision": "fp32",
    "device": "cpu",
    "workers": 0,
    "epochs": 1,
    "batch_size": 8,
}
LIKE_TRAINING = {"use": "demo", "images_per_class": 12, "size": 32}
USING = ("--trust-code", "--workers", "0", "--batch-size", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with finished runs: classes, whose names are odd, labels, and a number."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FT_CACHE", str(folder / "cache"))
        rows = [("path", "label", "names", "value")]
        for number in range(24):
            Image.new("RGB", (20, 20), (number * 10, 255 - number * 10, 9)).save(folder / f"{number}.png")
            odd = ("a/b", "A_b", "..", "<i>")[number % 4]
            rows.append((f"{number}.png", odd, ";".join(["x", "y"][: number % 3]), f"{number % 4}.5"))
        with (folder / "images.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        table = f"csv:{folder / 'images.csv'}"
        ft.finetune(**KEYS, data=table, run_dir=folder / "classes")
        ft.finetune(
            **KEYS,
            data={"use": table, "label_column": "names", "unlabelled": "keep"},
            task="multilabel",
            run_dir=folder / "labels",
        )
        ft.finetune(**KEYS, data={"use": table, "label_column": "value"}, task="regression", run_dir=folder / "number")
        yield folder


@pytest.fixture
def predict(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """`predict("classes", "photos", ...)` in a folder of its own, with five photos, one of which cannot be read."""
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        (tmp_path / "photos" / str(number)).mkdir(parents=True)
        Image.new("RGB", (20, 20), (number * 60, 90, 0)).save(tmp_path / "photos" / str(number) / "1.png")
    (tmp_path / "photos" / "bad.png").write_bytes(b"nothing")

    def run(name: str, *args: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(cli, ["predict", str(runs / name), *args, *USING])
        if fails:
            assert isinstance(result.exception, FtError), result.exception or result.output
        elif result.exception is not None:
            raise result.exception
        return result

    return run


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


SKIP = ("--bad-images", "skip")


def test_parquet_has_what_csv_has_in_columns_of_their_kinds(predict: Predict, tmp_path: Path) -> None:
    flags = ("--all", "--rank", "uncertain", "--unknown", *SKIP)
    for suffix in ("csv", "parquet"):
        predict("classes", "photos", "--out", f"x.{suffix}", *flags)
    written, kept = rows_of(tmp_path / "x.csv"), rows_of(tmp_path / "x.parquet")
    assert list(written[0]) == list(kept[0])
    for one, other in zip(written, kept, strict=True):
        assert one == {name: "" if value is None else str(value) for name, value in other.items()}
    kinds = {str(field.name): str(field.type) for field in parquet.read_schema(tmp_path / "x.parquet")}
    assert (kinds["class_1"], kinds["probability_1"], kinds["unknown"]) == ("string", "double", "bool")
    assert [row["image"] for row in kept][-1] == "photos/bad.png"
    assert kept[-1]["class_1"] is None


def test_every_class_has_a_column_in_the_order_of_the_classes(predict: Predict, tmp_path: Path) -> None:
    predict("classes", "photos", "--all", "--top", "1", "--out", "x.csv", *SKIP)
    predict("classes", "photos", "--all", "--out", "x.jsonl", *SKIP)
    names = ("..", "<i>", "a/b", "A_b")
    (first, *_), said = rows_of(tmp_path / "x.csv"), json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    every = [f"probability of {name}" for name in names]
    assert list(first) == ["image", "class_1", "probability_1", *every, "error"]
    assert sum(float(first[name]) for name in every) == pytest.approx(1)
    told = dict(zip(said["classes"], said["probabilities"], strict=True))
    assert {name: float(first[f"probability of {name}"]) for name in names} == told
    assert len(predict("classes", "photos/0", "--all").stdout.splitlines()[0].split()) == 1 + len(names)
    labels = json.loads(predict("labels", "photos/0", "--all", "--top", "1", "--json").stdout)
    assert labels[0]["probabilities"].keys() == {"x", "y"}


@pytest.mark.parametrize("suffix", ["", ".jsonl", ".parquet"])
def test_images_that_teach_most_come_first(predict: Predict, tmp_path: Path, suffix: str) -> None:
    out = ("--out", f"x{suffix}") if suffix else ("--json",)
    result = predict("classes", "photos", "--rank", "uncertain", "--all", *out, *SKIP)
    if suffix == ".parquet":
        found = rows_of(tmp_path / "x.parquet")
        best = [sorted(v for k, v in row.items() if k.startswith("probability of"))[-2:] for row in found[:-1]]
    else:
        text = (tmp_path / "x.jsonl").read_text() if suffix else ""
        found = [json.loads(line) for line in text.splitlines()] if suffix else json.loads(result.stdout)
        best = [sorted(row["probabilities"])[-2:] for row in found[:-1]]
    uncertain = [row["uncertainty"] for row in found]
    assert uncertain[-1] is None
    assert uncertain[:-1] == sorted(uncertain[:-1], reverse=True)
    assert uncertain[:-1] == pytest.approx([1 - (first - second) for second, first in best], abs=1e-6)


def test_copies_lie_in_folders_that_are_called_as_the_classes_and_none_is_lost(
    predict: Predict, tmp_path: Path
) -> None:
    said = predict("classes", "photos", "--copy-to", "sorted", "--json", *SKIP)
    answers = {each["path"]: each["classes"][0] for each in json.loads(said.stdout) if not each["error"]}
    safe = {"..": "__", "<i>": "_i_", "A_b": "A_b", "a/b": "a_b-2"}
    copies = sorted(path for path in (tmp_path / "sorted").rglob("*") if path.is_file())
    assert len(copies) == 4
    assert "4 copies made in sorted" in said.stderr
    for path, label in answers.items():
        those = list((tmp_path / "sorted" / safe[label]).iterdir())
        assert Path(path).read_bytes() in [each.read_bytes() for each in those]
    again = predict("classes", "photos", "--copy-to", "sorted", *SKIP)
    assert "0 copies made in sorted, 4 were there" in again.stderr
    assert sorted(path for path in (tmp_path / "sorted").rglob("*") if path.is_file()) == copies


def test_a_copy_is_written_over_nothing(tmp_path: Path) -> None:
    image, folder = tmp_path / "1.png", tmp_path / "sorted"
    image.write_bytes(b"one")
    os.utime(image, (10**9, 10**9))
    folder.mkdir()
    (folder / "1.png").write_bytes(b"somebody's")
    (folder / "1-2.png").symlink_to("nowhere")
    assert copy_into(image, folder)
    assert not copy_into(image, folder)
    found = {path.name for path in folder.iterdir()}
    assert found == {"1.png", "1-2.png", "1-3.png"}
    assert (folder / "1.png").read_bytes() == b"somebody's"
    assert ((folder / "1-3.png").read_bytes(), (folder / "1-3.png").stat().st_mtime) == (b"one", 10**9)


def test_an_image_with_several_labels_lies_in_several_folders_and_one_without_in_its_own(
    predict: Predict, tmp_path: Path
) -> None:
    said = json.loads(predict("labels", "photos", "--copy-to", "sorted", "--json", *SKIP).stdout)
    wanted = sum(max(1, len(each["labels"])) for each in said if not each["error"])
    copies = [path.parent.name for path in (tmp_path / "sorted").rglob("*") if path.is_file()]
    assert len(copies) == wanted
    assert set(copies) <= {"x", "y", "(none)"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--copy-to", "sorted"), "--copy-to sorts images by the names they get, and the answers of task 'regression'"),
        (("--all",), "--all tells the probability of every name, and the answers of task 'regression' have none"),
        (("--rank", "uncertain"), "task 'regression' does not say how uncertain its answers are"),
    ],
)
def test_what_a_number_has_not_is_refused_before_any_image_is_looked_at(
    predict: Predict, flags: tuple[str, ...], message: str, decoded: list[Path]
) -> None:
    assert message in str(predict("number", "photos", *flags, fails=True).exception)
    assert decoded == []
    assert not Path("sorted").exists()


def test_what_is_familiar_is_kept_and_goes_with_the_folder(
    predict: Predict, runs: Path, tmp_path: Path, decoded: list[Path]
) -> None:
    kept = runs / "classes" / "familiar.safetensors"
    kept.unlink(missing_ok=True)
    first = predict("classes", "photos", "--unknown", "--json", *SKIP)
    assert "looking once at" in first.stderr
    assert kept.stat().st_size < 1e5
    decoded.clear()
    again = predict("classes", "photos", "--unknown", "--json", *SKIP)
    assert (again.stdout, len(decoded)) == (first.stdout, 5)
    answers = [each for each in json.loads(again.stdout) if not each["error"]]
    assert all(each["unknown"] is (each["unlike"] > 1) for each in answers)
    model = ft.load(runs / "classes", trust_code=True, workers=0, device="cpu", batch_size=2)
    assert model.unlike([each["path"] for each in answers]) == pytest.approx(
        [each["unlike"] for each in answers], rel=1e-4
    )
    assert model.unlike(answers[0]["path"]) == pytest.approx(answers[0]["unlike"], rel=1e-4)


def test_another_model_is_familiar_with_its_images_anew(predict: Predict, runs: Path) -> None:
    predict("number", "photos/0", "--unknown")
    before = (runs / "number" / "familiar.safetensors").read_bytes()
    model = runs / "number" / "model.safetensors"
    save_file(
        {n: t + 0.1 if t.is_floating_point() else t for n, t in load_file(model).items()}, model
    )  # as where the run went on
    assert "looking once at" in predict("number", "photos/0", "--unknown").stderr
    assert (runs / "number" / "familiar.safetensors").read_bytes() != before


def test_a_folder_whose_images_are_elsewhere_says_where_to_make_what_it_lacks(
    predict: Predict, runs: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs / "labels", runs / "handed")
    (runs / "handed" / "familiar.safetensors").unlink(missing_ok=True)
    listed = runs / "handed" / "images.csv"
    listed.write_text(listed.read_text().replace(str(runs), "/nowhere"))
    said = str(predict("handed", "photos/0", "--unknown", fails=True).exception)
    assert "24 of 24 images of the run are not where" in said
    assert "--unknown writes familiar.safetensors, which goes with the folder" in said
    (runs / "handed" / "familiar.safetensors").write_bytes(b"nothing")
    assert "familiar.safetensors" in str(predict("handed", "photos/0", "--unknown", fails=True).exception)
    shutil.rmtree(runs / "handed")


def test_without_pyarrow_it_is_said_what_to_install(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = str(predict("classes", "photos", "--out", "x.parquet", fails=True).exception)
    assert "pip install 'ftkit[parquet]'" in said
    assert not Path("x.parquet").exists()


def test_in_python_uncertainty_is_what_ranks(predict: Predict, runs: Path) -> None:
    told = json.loads(predict("labels", "photos", "--rank", "uncertain", "--json", *SKIP).stdout)
    model = ft.load(runs / "labels", trust_code=True, workers=0, device="cpu")
    paths = [each["path"] for each in told if not each["error"]]
    found = model.uncertainty(paths)
    assert found == pytest.approx([each["uncertainty"] for each in told if not each["error"]], rel=1e-4)
    assert model.uncertainty(paths[0]) == pytest.approx(found[0])
