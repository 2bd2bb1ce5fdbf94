"""A file of answers that was left in the middle, gone on with."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import ft
from conftest import TINY
from ft.cli import cli
from ft.data import dataset
from ft.errors import FtError

pytestmark = pytest.mark.trains

IMAGES = 11
ANSWERS = ("answers.csv", "answers.jsonl", "answers.parquet")
Predict = Callable[..., Result]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FT_CACHE", str(folder / "cache"))
        keys: dict[str, Any] = {"backbone": f"{TINY}:small", "weights": "none", "image_size": 16, "workers": 0}
        demo = {"use": "demo", "images_per_class": 4, "size": 32}
        ft.finetune(**keys, data=demo, epochs=1, precision="fp32", device="cpu", batch_size=8, run_dir=folder / "run")
        yield folder / "run"


@pytest.fixture
def predict(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """`predict("photos", ...)` in a folder with eleven photos, of which the fifth and the tenth cannot be read."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number in range(IMAGES):
        Image.effect_noise((24, 24), 90 + number).convert("RGB").save(f"photos/{number:02}.png")
    for number in ("04", "09"):
        Path(f"photos/{number}.png").write_bytes(b"nothing")

    def ask(*args: str, fails: bool = False) -> Result:
        using = ("--trust-code", "--workers", "0", "--batch-size", "2", "--device", "cpu", "--bad-images", "skip")
        result = CliRunner().invoke(cli, ["predict", str(run), *args, *using])
        if fails:
            assert isinstance(result.exception, FtError), result.exception or result.output
        elif result.exception is not None:
            raise result.exception
        return result

    return ask


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that are read, in this order; what this holds once is what a full disk would stop at."""
    names: list[str] = []
    read = dataset.read_image

    def reading(picture: Any, *rest: Any) -> Any:
        names.append(picture.name)
        if picture.name == os.environ.get("STOPS_AT"):
            raise KeyboardInterrupt
        return read(picture, *rest)

    monkeypatch.setattr(dataset, "read_image", reading)
    return names


def stop_at(name: str, predict: Predict, monkeypatch: pytest.MonkeyPatch, out: str, *more: str) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("STOPS_AT", name)
        with pytest.raises(SystemExit):
            predict("photos", "--out", out, *more)


@pytest.mark.parametrize("out", ANSWERS)
def test_it_comes_to_the_same_bytes_and_no_image_is_decoded_twice(
    out: str, predict: Predict, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict("photos", "--out", f"whole-{out}")
    decoded.clear()
    stop_at("photos/06.png", predict, monkeypatch, out)
    assert not Path(out).exists()
    assert Path(f"{out}.part").exists()
    assert decoded.pop() == "photos/06.png"
    again = predict("photos", "--out", out, "--resume")
    assert decoded == [f"photos/{number:02}.png" for number in range(IMAGES)]
    assert Path(out).read_bytes() == Path(f"whole-{out}").read_bytes()
    assert "6 of 11 images have their answers already" in again.stderr
    for told in (whole, again):
        assert "2 of 11 images have no answer:\n    cannot read the image photos/04.png" in told.stderr
        assert "9 answers are in" in told.stderr
    assert not list(Path().glob(f"{out}.part*"))


def test_what_is_there_of_a_text_file_can_be_read_meanwhile(
    predict: Predict, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at("photos/06.png", predict, monkeypatch, "answers.csv")
    with open("answers.csv.part", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [f"photos/{number:02}.png" for number in range(6)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("photos", "--top", "1"), r"rows of another --top \(3\) than is asked for \(1\)"),
        (("photos", "--tta", "flip"), r"rows of another --tta \(None\) than is asked for \(flip\)"),
        (("photos/01.png",), r"row 1 of answers.csv.part is of photos/00.png, and photos/01.png is asked for there"),
    ],
)
def test_a_file_of_other_settings_or_images_is_refused_in_one_line(
    more: tuple[str, ...], said: str, predict: Predict, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at("photos/06.png", predict, monkeypatch, "answers.csv")
    with pytest.raises(FtError, match=said) as refused:
        raise predict(*more, "--out", "answers.csv", "--resume", fails=True).exception or AssertionError
    assert "\n" not in str(refused.value)


def test_a_file_of_another_model_is_refused(
    run: Path, predict: Predict, decoded: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stop_at("photos/06.png", predict, monkeypatch, "answers.csv")
    shutil.copytree(run, "other")
    said = Path("other/model.json").read_text()
    Path("other/model.json").write_text(said + "\n")
    asked = ("other", "photos", "--out", "answers.csv", "--resume", "--trust-code", "--workers", "0")
    found = CliRunner().invoke(cli, ["predict", *asked, "--batch-size", "2", "--device", "cpu"]).exception
    assert "rows of another model than is asked for; ask for the same, or delete answers.csv.part" in str(found)


def test_images_that_came_behind_are_answered_too(
    predict: Predict, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at("photos/06.png", predict, monkeypatch, "answers.csv")
    shutil.copy("photos/00.png", "photos/11.png")
    predict("photos", "--out", "answers.csv", "--resume")
    predict("photos", "--out", "whole.csv")
    assert Path("answers.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_copies_are_made_of_all_images(predict: Predict, decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at("photos/06.png", predict, monkeypatch, "answers.csv", "--copy-to", "sorted")
    predict("photos", "--out", "answers.csv", "--resume", "--copy-to", "sorted")
    assert len(list(Path("sorted").rglob("*.png"))) == IMAGES - 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--resume",), "--resume goes on with a file of answers; name it by --out FILE"),
        (("--resume", "--out", "a.csv", "--rank", "uncertain"), "--rank writes answers once all are there"),
    ],
)
def test_flags_that_say_nothing_together_are_refused(flags: tuple[str, ...], said: str, predict: Predict) -> None:
    with pytest.raises(FtError, match=said):
        raise predict("photos", *flags, fails=True).exception or AssertionError
