"""`ft plugins new`: what it writes is linted, passes its own tests, and works, before anybody has changed a line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

import warm_python
import wheels
from conftest import TINY
from faults.repetitions import FULL
from ft import FtError
from ft.extension.installed import load_plugins
from ft.extension.kinds import KINDS
from ft.scaffold import write_plugin

Ft = Callable[..., Result]
RUN = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--device", "cpu"),
    *("--set", "data={use: demo, images_per_class: 6, size: 32}"),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new plugin of each kind."""
    folder = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        write_plugin(kind, f"new-{kind}", folder, load_plugins())
    return folder


@pytest.fixture(scope="module")
def site(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that they are installed in, from their wheels."""
    return wheels.install([written / f"ft-new-{kind}" for kind in KINDS], tmp_path_factory.mktemp("installed"))


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
def test_new_plugins_pass_their_own_tests_from_their_wheels(written: Path, site: Path) -> None:
    kinds = [*KINDS] if FULL else ["freeze", "head"]  # each is tried by its kind's own conformance tests, too
    tests = [f"ft-new-{kind}/tests" for kind in kinds]
    options = ["-q", "-c", "ft-new-freeze/pyproject.toml", "-p", "no:cacheprovider", "--rootdir", ".", "-rs"]
    modules = ",".join(f"ft_new_{kind}" for kind in kinds)
    process = warm_python.start(wheels.TEST, [str(site), modules, *options, *tests], written, PYTHONPATH=str(site))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert " passed" in out
    skipped = [line for line in out.splitlines() if line.startswith("SKIPPED")]
    optional = (
        "has no build_map",
        "has no build_pool",
        "has a pool_path",
        "publishes no weights",
        "tells no facts",
        "solves nothing",
        "counts nothing of training images",
        "chooses nothing on validation images",
        "guesses nothing",
        "draws its views",
        "does not say how",
        "trains one head at a time",
        "says nothing of exported models",
        "has no class_rows",
        "adds no names",
        "has no reads",
    )
    assert not [line for line in skipped if not any(reason in line for reason in optional)]


def test_new_plugins_are_linted_and_formatted(written: Path) -> None:
    for kind in KINDS:
        for command in (["check", "--select", "E,F,W,I,UP,B"], ["format", "--check"]):
            options = ["--isolated", "--no-cache", "--line-length", "120", "."]
            done = run(sys.executable, "-m", "ruff", *command, *options, cwd=written / f"ft-new-{kind}")
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_new_plugin_is_at_hand_and_says_how_it_is_used(
    ft: Ft, written: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    plan = json.loads(ft("plan", *RUN, "--freeze", "new-freeze:100", "--head", "new-head", "--json").output)["plan"]
    assert plan["frozen"]
    assert "Settings:" in ft("describe", "freeze:new-freeze").output
    readme = (written / "ft-new-data" / "README.md").read_text()
    assert "--data new-data:./photos" in readme
    assert "$" not in readme


def test_the_command_writes_into_the_folder_and_says_what_to_do_next(ft: Ft, tmp_path: Path) -> None:
    output = ft("plugins", "new", "freeze", "my-strategy", "--into", "plugins").output
    assert (tmp_path / "plugins" / "ft-my-strategy" / "ft_my_strategy" / "my_strategy.py").is_file()
    assert "cd plugins/ft-my-strategy\n" in output
    assert "pip install -e" in output


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("freez", "mine", r"'freez' is no kind of plugin\. Did you mean 'freeze'\? Kinds: backbone, freeze"),
        ("freeze", "My Strategy", "'My Strategy' cannot be a name; write small letters, digits and '-'"),
        ("freeze", "../up", "cannot be a name"),
        ("freeze", "except", "'except' is a word of Python's own; choose another name, as in my-except"),
        ("freeze", "regex", "there is a freezing strategy named 'regex' already, from ftkit"),
        ("head", "freeze", "a package ft_freeze is installed already"),
        ("freeze", "there", "there is there already|ft-there is there already"),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is_written(
    tmp_path: Path, kind: str, name: str, message: str
) -> None:
    (tmp_path / "ft-there").mkdir()
    with pytest.raises(FtError, match=message):
        write_plugin(kind, name, tmp_path, load_plugins())
    assert [path.name for path in tmp_path.iterdir()] == ["ft-there"]


@pytest.mark.slow
def test_new_plugins_run_together(site: Path, tmp_path: Path) -> None:
    for number, label in enumerate(["cat", "dog"] * 5):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (25 * number, 0, 0)).save(tmp_path / "photos" / f"{label}_{number}.png")
    parts = ("--backbone", "new-backbone:small", "--weights", "none", "--head", "new-head", "--data", "new-data:photos")
    program = "import os, sys; sys.path.insert(0, os.environ['PYTHONPATH']); from ft.cli import main; main()"
    arguments = ["run", *parts, "--freeze", "new-freeze:1000", "--optimizer", "new-optimizer", "--epochs", "1"]
    arguments += ["--augment", "new-augmentation", "--tracker", "new-tracker", "--task", "new-task"]
    arguments += ["--run-dir", "r"]
    process = warm_python.start(program, arguments, tmp_path, PYTHONPATH=str(site))
    _, err = process.communicate()
    assert process.returncode == 0, err
    used = json.loads((tmp_path / "r" / "versions.json").read_text())["components"]
    kinds = ("backbone", "freeze", "head", "data", "task", "augmentation", "optimizer", "tracker")
    assert [each["distribution"] for each in used] == [f"ft-new-{kind}" for kind in kinds]
    assert (tmp_path / "r" / "new-tracker.txt").read_text().startswith("epoch 1\n")
    told = json.loads((tmp_path / "r" / "report.json").read_text())["val"]
    assert set(told) == {"loss", "accuracy", "lead", "classes"}
