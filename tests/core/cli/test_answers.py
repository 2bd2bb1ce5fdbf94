"""The forms in which `ft predict` gives its answers."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import warm_python
from ft.cli import cli
from ft.cli.answer_files import File, answer_file
from ft.cli.answers import json_list
from ft.config.schema import Config
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.inference.form import Form
from ft.inference.prediction import Prediction
from ft.machine.display import Display
from ft.machine.files import temporary_beside
from ft_tasks.regression_answers import NumbersAnswer

Ft = Callable[..., Result]
NAMES = ("[red]a.png", "b\n.png", os.fsdecode(b"caf\xe9.png"), "猫.png")
NOBODY_READS = """
import os, sys
from ft.cli import main
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, 1)
sys.stdout = open(1, "w")
main()
"""
USING = ("r", "photos", "--trust-code", "--workers", "0", "--batch-size", "2", "--device", "cpu")


@pytest.fixture
def ready(ft: Ft, tiny_config: Callable[..., Config], plugins: Plugins, tmp_path: Path) -> Ft:
    """`ft` in a folder with a finished run `r` and `photos`, of which one cannot be read."""
    finetune(tiny_config(training__epochs=1, run_dir=tmp_path / "r"), plugins, Display())
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(NAMES):
        with (tmp_path / "photos" / name).open("wb") as file:
            Image.new("RGB", (20, 20), (number * 60, 0, 0)).save(file, "PNG")
    (tmp_path / "photos" / "bad.png").write_bytes(b"nothing")
    return ft


def test_all_other_images_have_an_answer_before_a_bad_one_is_an_error(ready: Ft) -> None:
    failed = ready("predict", *USING, fails=True)
    assert "1 of 5 images have no answer:\n  cannot read the image photos/bad.png" in str(failed.exception)
    assert "--bad-images skip" in str(failed.exception)
    skipped = ready("predict", *USING, "--bad-images", "skip")
    assert skipped.stdout == failed.stdout
    assert re.search(r"^warning: 1 of 5 images .*\n.*photos/bad\.png", skipped.stderr)
    header, rule, *rows = failed.stdout.splitlines()
    assert header.split() == ["image", "1.", "2.", "3."]
    assert len(rule) == max(map(len, failed.stdout.splitlines()))
    shown = [r"photos/[red]a.png", r"photos/b\n.png", r"photos/caf\udce9.png", "photos/猫.png"]
    assert [row.split()[0] for row in rows] == shown


def test_json_is_a_list_of_every_image(ready: Ft) -> None:
    found = json.loads(ready("predict", *USING, "--json", "--top", "2", "--bad-images", "skip").stdout)
    paths = sorted(f"photos/{name}" for name in (*NAMES, "bad.png"))
    assert [each["path"] for each in found] == paths
    for each in found:
        assert bool(each["error"]) == each["path"].endswith("bad.png") == (not each["classes"])
        assert len(each["classes"]) == len(each["probabilities"])


def test_a_list_that_something_ends_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    form, display = Form(1, NumbersAnswer(("y",), (0.0,))), Display()
    answer = Prediction(Picture.at(Path("a.png")), NumbersAnswer(("y",), (1.0,)))

    def stopped_behind(*batches: int) -> None:
        with json_list(form, display) as show:
            for batch in batches:
                show([answer] * batch)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        stopped_behind(1, 2)
    assert [each["path"] for each in json.loads(capsys.readouterr().out)] == ["a.png"] * 3
    assert stopped.value.__notes__ == ["the list that was printed ends after 3 images"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_file_of_answers_has_a_line_for_every_image(ready: Ft, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "new" / f"answers.{suffix}"
    result = ready("predict", *USING, "--top", "99", "--out", str(out), "--bad-images", "skip")
    assert (result.stdout, f"4 answers are in {out}" in result.stderr) == ("", True)
    content = out.read_bytes().decode("utf-8")
    if suffix == "jsonl":
        rows = [json.loads(line) for line in content.splitlines()]
        assert [each["path"] for each in rows] == sorted(f"photos/{name}" for name in (*NAMES, "bad.png"))
        assert sum(rows[0]["probabilities"]) == pytest.approx(1)
        return
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    names = ["[red]a.png", "b\n.png", "bad.png", r"caf\xe9.png", "猫.png"]
    assert sorted(each["image"] for each in rows) == sorted(f"photos/{name}" for name in names)
    bad = next(each for each in rows if each["image"] == "photos/bad.png")
    assert "cannot read the image" in bad["error"]
    assert (bad["class_1"], bad["probability_4"]) == ("", "")
    assert sum(float(rows[0][f"probability_{place}"]) for place in range(1, 5)) == pytest.approx(1)


def test_a_file_of_answers_is_whole_or_as_before(ready: Ft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "answers.csv"
    out.write_text("before")
    killed = temporary_beside(out, pid=0)
    killed.touch()

    def stopped(*_: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ft.data.pictures.read_bytes", stopped)
        assert CliRunner().invoke(cli, ["predict", *USING, "--out", str(out)]).exit_code == 1
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "photos", "r"]
    failed = ready("predict", *USING, "--out", str(out), fails=True)
    assert f"\n4 answers are in {out}. Mend them, or" in str(failed.exception)
    assert len(out.read_bytes().split(b"\r\n")) == 7


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--out", "x.txt"), r"--out writes \.csv, \.jsonl or \.parquet, by its name; x\.txt is none"),
        (("--out", "x.csv", "--json"), "give one of them"),
    ],
)
def test_a_form_that_does_not_fit_is_refused_at_once(ft: Ft, flags: tuple[str, ...], said: str, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(FtError, match=said):
        ft("predict", "r", "a.png", *flags)


def test_whoever_reads_may_have_read_enough(ready: Ft, tmp_path: Path) -> None:
    process = warm_python.start(NOBODY_READS, ["predict", *USING], tmp_path)
    _, said = process.communicate()
    assert (process.returncode, said) == (1, "")


def test_a_target_that_is_called_as_a_column_of_the_file_has_a_column_of_its_own(tmp_path: Path) -> None:
    answer = NumbersAnswer(("error", "size"), (1.5, 20.0))
    with answer_file(File(tmp_path / "a.csv", Form(3, answer), {}, None)) as (show, _):
        show([Prediction(Picture.at(Path("a.png")), answer)])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["image,error_answer,size,error", "a.png,1.5,20.0,"]
