"""What features know of a run's images: found out from what it kept, or when somebody asks for it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display

TITLE = "What features know"


def run_of(config: Config, plugins: Plugins) -> Path:
    return finetune(config, plugins, Display())[0].path


def known_in(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "known.json").read_text())
    return found


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"freeze": ["all"], "cache__promise": "off"},
        {"freeze": ["all"], "images__augment": "flip", "images__views": 2},
    ],
    ids=["all of it trains", "nothing is kept", "views"],
)
def test_a_run_that_kept_no_features_says_how_to_find_out(
    tiny_config: Callable[..., Config], plugins: Plugins, keys: dict[str, Any]
) -> None:
    run = run_of(tiny_config(report__html=True, **keys), plugins)
    assert not (run / "known.json").exists()
    assert f"ft report {run} --features" in (run / "report.html").read_text()


def test_asking_finds_out_what_a_run_that_kept_them_says(
    tiny_config: Callable[..., Config], plugins: Plugins, tmp_path: Path, ft: Callable[..., Result]
) -> None:
    frozen = run_of(tiny_config(report__html=True, freeze=["all"], split__test=0.2, run_dir=tmp_path / "a"), plugins)
    trained = run_of(tiny_config(report__html=True, split__test=0.2, run_dir=tmp_path / "b"), plugins)
    asked = ft("report", str(trained), "--features", "--trust-code", "--device", "cpu", "--workers", "0")
    assert asked.exit_code == 0, asked.output
    one, other = known_in(frozen), known_in(trained)
    assert other["images"] == len((trained / "images.csv").read_text().splitlines()) - 1
    assert one["images"] < other["images"]  # a run keeps none of its test images
    assert [pair[:3] for pair in one["copies"]] == [pair[:3] for pair in other["copies"]]
    assert "Map of all images" in (trained / "report.html").read_text()


def test_a_run_that_kept_features_is_familiar_with_its_images_without_looking_again(
    tiny_config: Callable[..., Config], plugins: Plugins, ft: Callable[..., Result]
) -> None:
    run = run_of(tiny_config(report__html=True, freeze=["all"], split__test=0.2), plugins)
    images = [row["path"] for row in csv.DictReader((run / "images.csv").read_text().splitlines())][::5]
    asked = ("predict", str(run), *images, "--unknown", "--json", "--trust-code", "--workers", "0", "--device", "cpu")
    kept = ft(*asked)
    assert "looking once at" not in kept.stderr
    (run / "familiar.safetensors").unlink()
    computed = ft(*asked)
    assert "looking once at" in computed.stderr
    first, second = ([each["unlike"] for each in json.loads(result.stdout)] for result in (kept, computed))
    assert first == pytest.approx(second, rel=0.02, abs=0.02)


def test_a_file_of_other_images_is_an_error_that_names_it(
    tiny_config: Callable[..., Config], plugins: Plugins, ft: Callable[..., Result]
) -> None:
    run = run_of(tiny_config(report__html=True, freeze=["all"]), plugins)
    (run / "known.json").write_text(json.dumps({**known_in(run), "outliers": [[999, 1.0]]}))
    with pytest.raises(FtError, match=r"known\.json does not fit the images of images\.csv"):
        ft("report", str(run), "--trust-code")
