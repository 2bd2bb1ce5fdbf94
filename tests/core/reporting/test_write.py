"""The page of a run: written as it ends, and later, from what its folder holds."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file

from conftest import TINY
from finished_runs import FinishedRun
from ft.config.budget import BudgetConfig
from ft.config.loading import load_config
from ft.config.recipe import RecipeConfig
from ft.config.schema import Config
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.inference.load import load_trained
from ft.inference.predict import outputs_or_why
from ft.machine.display import Display
from ft.machine.files import temporary_beside
from ft.reporting.compose import page_of
from ft.reporting.finished import read_finished

Ft = Callable[..., Result]
NAMES = ("<img src=x onerror=alert(1)>", "a [b]", "x" * 100)


def photos(folder: Path) -> Path:
    """Images of three classes, whose names are markup, brackets, and long."""
    for number in range(54):
        place = folder / NAMES[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        colour = [20, 20, 20]
        colour[number % 3] = 80 + 3 * number
        Image.new("RGB", (24 + number % 5, 20), (colour[0], colour[1], colour[2])).save(place / f"{number}.png")
    return folder


def config_of(folder: Path, **keys: object) -> Config:
    tree = {
        "backbone": f"{TINY}:small",
        "weights": "none",
        "data": str(folder / "photos"),
        "images.size": 16,
        "split.test": 0.2,
        "cache.promise": "off",
        "machine.precision": "fp32",
        "machine.device": "cpu",
        "machine.workers": 0,
        "training.epochs": 2,
        "training.batch_size": 8,
        "run_dir": folder / "run",
    }
    return load_config(flags={**tree, **{key.replace("__", "."): value for key, value in keys.items()}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> FinishedRun:
    folder = tmp_path_factory.mktemp("finished")
    photos(folder / "photos")
    return FinishedRun(config_of(folder), plugins)


@pytest.fixture
def copied(finished: FinishedRun, tmp_path: Path) -> Path:
    """The run in another place, as it ended."""
    return Path(shutil.copytree(finished.run.path, tmp_path / "copied"))


def text_of(page: Path) -> str:
    """What a page says, without its style and script."""
    return re.sub(r"<(style|script)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def images_in(page: Path) -> dict[str, dict[str, str]]:
    found = re.search(r'<script type="application/json" id="images">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found
    images: dict[str, dict[str, str]] = json.loads(found[1])
    return images


def test_outputs_are_those_of_the_saved_model_in_the_order_of_the_list(finished: FinishedRun, plugins: Plugins) -> None:
    folder = finished.run.path
    kept = load_file(folder / "outputs.safetensors")
    rows = [line.split(",") for line in (folder / "images.csv").read_text().splitlines()[1:]]
    trained = load_trained(
        finished.run, plugins, {"device": "cpu", "precision": "fp32", "workers": 0}, 8, trust_code=True
    )
    for split in ("val", "test"):
        paths = [Path(row[0]) for row in rows if row[2] == split]
        asked = [each for some in outputs_or_why(trained, [Picture.at(p) for p in paths], Display()) for each in some]
        assert all(isinstance(each, torch.Tensor) for each in asked)
        torch.testing.assert_close(kept[split], torch.stack(asked), rtol=1e-4, atol=1e-5)  # type: ignore[arg-type]


def test_the_page_says_the_figures_of_the_report_and_judges_by_the_test_images(finished: FinishedRun) -> None:
    text, report = text_of(finished.run.path / "report.html"), finished.report
    assert report.test is not None
    assert f'<p class="value">{report.test["accuracy"]:.1%}</p>' in text
    assert f'<p class="value">{report.test["macro_f1"]:.3f}</p>' in text
    assert re.search(rf"on validation images</dt><dd>{report.val['accuracy']:.1%}</dd>", text)
    assert "Measured on 12 test images" in text
    assert "was chosen on these very images" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img src=x" not in text


def test_every_section_stands_there_also_those_of_the_task(finished: FinishedRun) -> None:
    titles = re.findall(r"<h2 [^>]*>(.*?)</h2>", text_of(finished.run.path / "report.html"))
    own = ["By class", "What was taken for what", "Mistakes", "Calibration"]
    of_images = ["What features know", "Data as the network sees it"]
    assert titles == ["Curves", *own, *(f"{each} (validation images)" for each in own), *of_images, "What trained"]


def test_images_are_embedded_by_their_number_in_the_list(finished: FinishedRun) -> None:
    images = images_in(finished.run.path / "report.html")
    rows = [line.split(",") for line in (finished.run.path / "images.csv").read_text().splitlines()[1:]]
    of_the_list = [number for number in images["photos"] if int(number) < len(rows)]
    assert of_the_list
    for number in of_the_list:
        path, _, split, _ = rows[int(number)]
        assert split != "train"
        assert images["names"][number] == path


def test_a_run_without_outputs_is_asked_again_and_says_the_same(
    finished: FinishedRun, copied: Path, ft: Callable[..., Result]
) -> None:
    (copied / "outputs.safetensors").unlink()
    (copied / "report.html").unlink()
    done = ft("report", str(copied), "--trust-code", "--workers", "0", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{copied / 'report.html'}\n"
    there = load_file(copied / "outputs.safetensors")
    for split, outputs in load_file(finished.run.path / "outputs.safetensors").items():
        torch.testing.assert_close(there[split], outputs)
    before = text_of(finished.run.path / "report.html").replace(str(finished.run.path), "RUN")
    assert text_of(copied / "report.html").replace(str(copied), "RUN") == before


def test_outputs_of_another_model_are_not_believed(copied: Path, ft: Callable[..., Result]) -> None:
    from safetensors.torch import save_file

    outputs = load_file(copied / "outputs.safetensors")
    save_file({name: each.flip(1).contiguous() for name, each in outputs.items()}, copied / "outputs.safetensors")
    done = ft("report", str(copied), "--trust-code", "--workers", "0", "--device", "cpu")
    assert "kept no outputs of its model" in done.stderr
    torch.testing.assert_close(load_file(copied / "outputs.safetensors"), outputs)


def test_images_that_are_gone_or_changed_are_said_and_the_figures_stay(
    plugins: Plugins, tmp_path: Path, ft: Callable[..., Result]
) -> None:
    photos(tmp_path / "photos")
    run = FinishedRun(config_of(tmp_path), plugins)
    page = run.run.path / "report.html"
    gone, changed = run.validated[:2]
    gone.unlink()
    Image.new("RGB", (20, 20), "white").save(changed)
    figure = f'<p class="value">{run.report.test["accuracy"]:.1%}</p>'  # type: ignore[index]
    done = ft("report", str(run.run.path), "--trust-code")
    assert done.exit_code == 0, done.output
    reasons = [*images_in(page)["why"].values()]
    assert sorted(reasons) == ["it has changed since the run", "it is no longer there"]
    assert figure in text_of(page)
    (run.run.path / "outputs.safetensors").unlink()
    done = ft("report", str(run.run.path), "--trust-code", "--workers", "0")
    assert done.exit_code == 0, done.output
    assert "warning: 2 images of the run cannot be looked at any more" in done.stderr
    assert figure in text_of(page)
    assert not (run.run.path / "outputs.safetensors").exists()


def test_without_pictures_no_image_is_in_the_file_and_paths_are(copied: Path, ft: Callable[..., Result]) -> None:
    done = ft("report", str(copied), "--trust-code", "--set", "report.pictures=off")
    assert done.exit_code == 0, done.output
    assert images_in(copied / "report.html")["photos"] == {}
    assert "report.pictures is off" in text_of(copied / "report.html")
    assert "base64" not in text_of(copied / "report.html")


def test_a_page_of_a_run_that_is_not_finished_and_a_key_of_something_else_are_refused(
    copied: Path, ft: Callable[..., Result]
) -> None:
    with pytest.raises(FtError, match="ft report takes keys of report alone"):
        ft("report", str(copied), "--trust-code", "--set", "seed=1")
    with pytest.raises(FtError, match=r"there is no folder .*copid\. Did you mean .*copied"):
        ft("report", str(copied.with_name("copid")))
    (copied / "report.json").unlink()
    with pytest.raises(FtError, match=r"holds no report\.json, so it is no finished run"):
        ft("report", str(copied), "--trust-code")


LOUD = """
from dataclasses import replace

from ft_tasks import ft_vision_tasks

def sections(outputs, targets, space, settings):
    raise RuntimeError("no page today")

LOUD = replace(next(iter(ft_vision_tasks())), name="loud", sections=sections)
"""


def test_a_page_that_cannot_be_written_costs_a_warning_and_not_the_run(
    plugins: Plugins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "loud.py").write_text(LOUD)
    done = FinishedRun(config_of(tmp_path, task=f"{tmp_path / 'loud.py'}:LOUD", training__epochs=1), plugins)
    told = capsys.readouterr().err
    assert "warning: report.html was not written (RuntimeError: no page today" in told
    assert f"try again with: ft report {done.run.path}" in told
    assert not (done.run.path / "report.html").exists()
    assert (done.run.path / "report.json").exists()


def test_a_run_may_be_asked_for_no_page(plugins: Plugins, tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    done = FinishedRun(config_of(tmp_path, report__html=False, training__epochs=1), plugins)
    assert not (done.run.path / "report.html").exists()
    assert (done.run.path / "outputs.safetensors").exists()


@pytest.fixture(scope="module")
def other(finished: FinishedRun, plugins: Plugins) -> FinishedRun:
    """A run on the same images, in the same splits, that trains otherwise."""
    folder = finished.run.path.parent
    return FinishedRun(config_of(folder, run_dir=folder / "other", training__head_lr=0.05, training__epochs=3), plugins)


def test_runs_are_compared_on_the_same_images(finished: FinishedRun, other: FinishedRun, ft: Ft) -> None:
    first, second = str(finished.run.path), str(other.run.path)
    told = json.loads(ft("compare", first, second, "--json", "--trust-code").stdout)
    assert [each["val"]["accuracy"] for each in told["runs"]] == [
        finished.report.val["accuracy"],
        other.report.val["accuracy"],
    ]
    (beside,) = told["beside_first"]
    assert beside["images"] == finished.report.images["val"]
    assert beside["means"] == pytest.approx([each["val"]["accuracy"] for each in told["runs"]])
    changed = {each["key"]: each["values"] for each in told["differences"]}
    assert changed == {"training.epochs": ["2", "3"], "training.head_lr": ["0.001", "0.05"]}
    shown = ft("compare", first, second, "--trust-code").stdout
    assert "B beside A: accuracy" in shown
    assert "asked for differently" in shown


def test_page_of_two_runs_shows_both_and_where_they_differ(
    finished: FinishedRun, other: FinishedRun, ft: Ft, tmp_path: Path
) -> None:
    first, second = str(finished.run.path), str(other.run.path)
    page = Path(ft("report", first, second, "--trust-code", "--out", str(tmp_path / "both.html")).stdout.strip())
    text = text_of(page)
    for said in ("2 runs compared", "Asked for differently", "training.head_lr", "B beside A", "Curves"):
        assert said in text, said
    assert "<img src=x" not in text
    assert images_in(page)["photos"]
    ft("report", first, second, "--trust-code", "--out", str(tmp_path / "none.html"), "--set", "report.pictures=off")
    assert not images_in(tmp_path / "none.html")["photos"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "{0}"), "give two runs or more"),
        (("compare", "{0}", "{0}"), "is given twice"),
        (("compare", "{0}", "nowhere"), "there is no folder"),
        (("report", "{0}", "--out", "a.html"), "--out is for the page of several runs"),
        (("report", "{0}", "nowhere", "--features"), "--features is about one run"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    finished: FinishedRun, ft: Ft, arguments: tuple[str, ...], said: str
) -> None:
    told = ft(*(each.format(finished.run.path) for each in arguments), fails=True)
    assert said in str(told.exception)


def test_runs_that_kept_no_outputs_are_compared_but_for_chance(copied: Path, other: FinishedRun, ft: Ft) -> None:
    (copied / "outputs.safetensors").unlink()
    told = ft("compare", str(copied), str(other.run.path), "--trust-code")
    assert told.exit_code == 0
    assert "kept no outputs of its model" in told.stderr


def test_the_page_says_what_trained_how_long_and_how_to_do_it_again(finished: FinishedRun) -> None:
    text, report, folder = text_of(finished.run.path / "report.html"), finished.report, finished.run.path
    assert f"{report.trainable_parameters:,} parameters in {report.seconds:.1f} s" in text
    assert "2 epochs in" in text
    assert f"of which epoch {report.best_epoch} was saved" in text
    assert "<dt>weights</dt><dd><bdi>none (random)</bdi></dd>" in text
    for command in (
        f"ft predict {folder} IMAGES",
        f"ft run --config {folder}/config.yaml",
        f"ft run --locked {folder}",
    ):
        assert f"<code>{command}</code>" in text


def test_the_page_says_of_which_recipe_and_for_how_long_it_was_planned(finished: FinishedRun, plugins: Plugins) -> None:
    read = read_finished(finished.run, plugins, trust_code=True)
    plain = page_of(read, ()).about
    asked = {"recipe": RecipeConfig(use="lp-ft"), "time_budget": BudgetConfig(asked="10m")}
    said = page_of(replace(read, config=read.config.model_copy(update=asked)), ()).about
    assert [each for each in said if each not in plain] == ["recipe lp-ft", "planned for 10m"]


def test_what_a_killed_writer_left_of_a_page_is_swept(copied: Path, ft: Callable[..., Result]) -> None:
    left = temporary_beside(copied / "report.html", pid=0)
    left.write_text("<html>")
    assert ft("report", str(copied), "--trust-code").exit_code == 0
    assert not left.exists()
