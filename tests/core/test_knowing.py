"""`ft data check --backbone`: what features tell of images before any training, and the table in which it is mended."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from conftest import TINY

BACKBONE = (
    *("--backbone", f"{TINY}:small", "--set", "weights=none", "--set", "images.size=16"),
    *("--set", "machine.precision=fp32", "--set", "machine.device=cpu", "--set", "machine.workers=0"),
)
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40)}
FLIPPED = "red/3.png"
COPY = "green/copy.jpg"


def picture(colour: tuple[int, int, int], seed: int) -> Image.Image:
    draw = np.random.default_rng(seed)
    blots = Image.fromarray(draw.integers(0, 90, (6, 6), dtype=np.uint8)).resize((48, 48), Image.Resampling.BICUBIC)
    return Image.fromarray((np.array(colour) + np.asarray(blots)[..., None] - 40).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and green pictures, of which one is in the wrong folder, and one a mirrored and compressed copy."""
    folder = tmp_path_factory.mktemp("known") / "photos"
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for number in range(12):
            seed = number + 100 * (label == "red")
            picture(COLOURS["green"] if f"{label}/{number}.png" == FLIPPED else colour, seed).save(
                folder / label / f"{number}.png"
            )
    with Image.open(folder / "green" / "5.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / COPY, quality=60)
    return folder


def test_a_wrong_label_and_a_copy_are_found_and_can_be_mended(photos: Path, ft: Callable[..., Result]) -> None:
    told = json.loads(ft("data", "check", str(photos), *BACKBONE, "--json", "--write-csv", "mend.csv").stdout)["known"]
    assert [(each["path"], each["label"], each["suggested"]) for each in told["labels"]] == [
        (str(photos / FLIPPED), "red", "green")
    ]
    assert [set(each["paths"]) for each in told["copies"]] == [{str(photos / COPY), str(photos / "green" / "5.png")}]
    assert told["copies"][0]["changed"] == "mirrored"
    assert told["judged"]["classes"] == ["green", "red"]
    assert sum(map(sum, told["judged"]["joint"])) <= told["images"] == len(told["places"]) == 25

    with open("mend.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["path"] == str(photos / FLIPPED)
    assert rows[0]["suggested_label"] == "green"
    assert {row["path"] for row in rows[1:3]} == {str(photos / COPY), str(photos / "green" / "5.png")}
    assert len(rows) == 25
    rows[0]["label"] = rows[0]["suggested_label"]
    with open("mend.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    again = json.loads(ft("data", "check", "mend.csv", *BACKBONE, "--json").stdout)["known"]
    assert again["labels"] == []
    assert again["computed"] <= 5  # what is kept is known by an image's content, but in a batch that is not full


@pytest.mark.parametrize(
    ("most", "said"), [("MOST_CLASSES", "1 classes or fewer"), ("MOST_ANSWERS", "1 answers or fewer")]
)
def test_labels_of_very_many_classes_or_images_are_not_judged_and_that_is_said(
    most: str, said: str, photos: Path, ft: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"ft.judging.{most}", 1)
    told = json.loads(ft("data", "check", str(photos), *BACKBONE, "--json").stdout)["known"]
    assert told["labels"] == []
    assert told["judged"] is None
    assert said in told["unjudged"]


def test_a_run_finds_the_features_of_the_check(photos: Path, ft: Callable[..., Result]) -> None:
    checked = ft("data", "check", str(photos), *BACKBONE, "--set", "seed=5")
    assert "1 label may be wrong" in checked.output
    ft("run", *BACKBONE, "--set", "seed=5", "--data", str(photos), "--freeze", "all", "--epochs", "2", "--run-dir", "r")
    assert json.loads(Path("r/report.json").read_text())["cache"]["computed"] == 0


def test_a_page_shows_what_was_found_with_pictures_and_holds_each_once(photos: Path, ft: Callable[..., Result]) -> None:
    told = json.loads(ft("data", "check", str(photos), *BACKBONE, "--json", "--html", "known.html").stdout)["known"]
    page = Path("known.html").read_text(encoding="utf-8")
    assert "1 label may be wrong" in page
    assert f"The same in {'one split' if len(set(told['copies'][0]['splits'])) == 1 else 'two splits'}: 1 pair" in page
    held = json.loads(page.partition('id="images">')[2].partition("</script>")[0])
    names = {held["names"][place] for place in held["photos"]}
    assert names == {str(path) for path in photos.rglob("*.*")}
    assert held["why"] == {}
    shown = {held["names"][place] for place in re.findall(r'<img data-photo="(\d+)"', page)}
    outliers = {each["path"] for each in told["outliers"]}
    assert shown == {str(photos / FLIPPED), str(photos / COPY), str(photos / "green" / "5.png"), *outliers}


def test_only_strict_makes_findings_an_error(photos: Path, ft: Callable[..., Result]) -> None:
    assert ft("data", "check", str(photos), *BACKBONE).exit_code == 0
    assert ft("data", "check", str(photos), *BACKBONE, "--strict", fails=True).exit_code == 1


def test_what_has_no_effect_is_said(photos: Path, ft: Callable[..., Result]) -> None:
    refused = ft("data", "check", str(photos), *BACKBONE, "--set", "training.epochs=3", fails=True)
    assert "--set training.epochs=3 changes nothing here" in str(refused.exception)
    for flags in (("--strict",), ("--html", "x.html"), ("--write-csv", "x.csv")):
        assert f"{flags[0]} is about what features tell; add --backbone" in " ".join(
            ft("data", "check", str(photos), *flags, fails=True).output.split()
        )


def test_labels_are_not_judged_by_a_loss_that_nothing_solves_and_it_is_said(
    photos: Path, ft: Callable[..., Result]
) -> None:
    told = ft("data", "check", str(photos), *BACKBONE, "--set", "task.loss=focal").output
    assert "labels are not judged: the loss of task 'classification' with loss=focal cannot be solved for" in told
    assert "1 pair of images that show the same" in told


def test_a_class_that_a_head_did_not_see_is_not_judged(photos: Path, ft: Callable[..., Result]) -> None:
    rows = ["path,label,film"]
    for label in COLOURS:
        for number in range(12):
            film = "one" if label == "red" else f"{number}"
            rows.append(f"{photos / label / f'{number}.png'},{label},{film}")
    Path("films.csv").write_text("\n".join(rows))
    grouped = ("films.csv", *BACKBONE, "--set", "split.group=film")
    told = json.loads(ft("data", "check", *grouped, "--json").stdout)["known"]
    assert told["judged"]["left_out"] == ["red"]
    assert told["labels"] == []
