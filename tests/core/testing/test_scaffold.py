"""`ft plugins new`: what it writes is linted, passes its own tests, and works, before anybody has changed a line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from conftest import TINY
from ft import FtError
from ft.extensions import KINDS
from ft.plugins import load_plugins
from ft.scaffold import write_plugin

Ft = Callable[..., Result]
RUN = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--device", "cpu"),
    *("--set", "data={use: demo, images_per_class: 6, size: 32}"),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new plugin of each kind, each as good as installed once the folder is on the search path."""
    site = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        folder = write_plugin(kind, f"new-{kind}", site, load_plugins())
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
        ((point, module),) = project["entry-points"]["ft.plugins"].items()
        (info / "entry_points.txt").write_text(f"[ft.plugins]\n{point} = {module}\n")
        (site / module).symlink_to(folder / module)
    return site


def run(*command: str, path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{Path(__file__).parents[2]}"}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)


def test_new_plugins_of_every_kind_pass_their_own_tests(written: Path) -> None:
    folders = [f"ft-new-{kind}/tests" for kind in KINDS]
    options = ("-q", "-c", "ft-new-freeze/pyproject.toml", "-p", "no:cacheprovider", "--rootdir", ".", "-rs")
    done = run(sys.executable, "-m", "pytest", *options, *folders, path=written, cwd=written)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    optional = ("has no build_map", "has no build_pool", "has a pool_path", "publishes no weights", "tells no facts")
    assert not [line for line in skipped if not any(reason in line for reason in optional)]


def test_new_plugins_are_linted_and_formatted(written: Path) -> None:
    for kind in KINDS:
        for command in (["check", "--select", "E,F,W,I,UP,B"], ["format", "--check"]):
            options = ["--isolated", "--no-cache", "--line-length", "120", "."]
            done = run(sys.executable, "-m", "ruff", *command, *options, path=written, cwd=written / f"ft-new-{kind}")
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_plugin_is_at_hand_and_says_how_it_is_used(
    ft: Ft, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(written))
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
def test_new_plugins_install_from_their_wheels_pass_and_run_together(tmp_path: Path) -> None:
    from PIL import Image

    folders = [write_plugin(kind, f"own-{kind}", tmp_path, load_plugins()) for kind in KINDS]
    site = tmp_path / "site"
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target")
    done = run(sys.executable, *install, str(site), *map(str, folders), path=site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for folder in folders:
        shutil.rmtree(folder / f"ft_{folder.name.removeprefix('ft-').replace('-', '_')}")  # only the wheel is left
    options = ("-c", str(folders[0] / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider")
    tests = [str(folder / "tests") for folder in folders]
    tested = run(sys.executable, "-m", "pytest", *options, *tests, path=site, cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    for number, label in enumerate(["cat", "dog"] * 5):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (25 * number, 0, 0)).save(tmp_path / "photos" / f"{label}_{number}.png")
    parts = ("--backbone", "own-backbone:small", "--weights", "none", "--head", "own-head", "--data", "own-data:photos")
    ft = (sys.executable, "-c", "from ft.cli import main; main()", "run", *parts, "--epochs", "1", "--run-dir", "r")
    trained = run(*ft, "--freeze", "own-freeze:1000", path=site, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    used = json.loads((tmp_path / "r" / "versions.json").read_text())["components"]
    assert [each["distribution"] for each in used] == [f"ft-own-{k}" for k in ("backbone", "head", "freeze", "data")]
