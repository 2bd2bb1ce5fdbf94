from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings

from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.installed import Plugins, load_plugins
from weight_server import WeightServer, weight_server

if TYPE_CHECKING:
    from browser import Browser

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

TINY = f"{Path(__file__).parent / 'tiny_provider.py'}:Tiny"


def pytest_configure() -> None:
    """Stop where ft was installed before its pyproject.toml got another entry point: its plugins would not be found."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["entry-points"]["ft.plugins"].items()
    installed = {(point.name, point.value) for point in distribution("ftkit").entry_points}
    if missing := sorted(name for name, module in wanted if (name, module) not in installed):
        command = f"{sys.executable} -m pip install --no-deps --no-build-isolation --editable ."
        pytest.exit(f"ft is not installed with the entry points {', '.join(missing)}: run make, or {command}", 2)


TRAINING = {
    "browser",
    "tiny_config",
    "prepare",
    "type_",
    "FinishedRun",
    "finetune",
    "subprocess",
    "warm_python",
    "wheels",
}
"""Fixtures, functions and modules: a test that uses one computes networks, or starts processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` leaves out, and what `make faults` tries many times over."""
    for item in items:
        folders = set(item.path.parts[len(Path(__file__).parent.parts) :])
        if "faults" in folders:
            item.add_marker("faults")
        used = used_names(item) if isinstance(item, pytest.Function) else set()
        if "prefix" in folders or TRAINING & used or {"ft", "run"} <= used:
            item.add_marker("trains")


def used_names(test: pytest.Function) -> set[str]:
    """The fixtures of a test, and every name and text in its code and that of the functions in it."""
    names, codes = set(test.fixturenames), [test.function.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names, (each for each in code.co_consts if isinstance(each, str)))
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
    return names


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ft-cache")


@pytest.fixture(scope="session", autouse=True)
def _not_synced() -> Iterator[None]:
    """No test's file has to outlast a power cut, and a run waits for the disk 42 times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _few_resamples() -> Iterator[None]:
    """Nearly every run has intervals that no test looks at, and a thousand resamples take a quarter of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ft.insight.intervals.MOST", 100)
        yield


@pytest.fixture(autouse=True)
def _isolated(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the caches of whoever runs it, nor a mirror that they use."""
    monkeypatch.setenv("FT_CACHE", str(cache_folder))
    monkeypatch.setenv("TORCH_HOME", str(cache_folder / "torch"))
    monkeypatch.delenv("FT_WEIGHT_MIRROR", raising=False)


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser without a window, for all tests that look at pages."""
    from browser import browser_open

    with browser_open() as opened:
        yield opened


@pytest.fixture
def web() -> Iterator[WeightServer]:
    """A server on this machine that has nothing yet."""
    with weight_server() as server:
        yield server


@pytest.fixture
def tiny_config(tmp_path: Path) -> Callable[..., Config]:
    """Make a config for a tiny backbone on a tiny demo set; keywords are keys of the config, `__` for the dots."""

    def make(model: str = "small", **keys: Any) -> Config:
        tree = {
            "backbone": f"{TINY}:{model}",
            "weights": "none",
            "data": {"use": "demo", "images_per_class": 6, "size": 32},
            "images.size": 16,
            "machine.precision": "fp32",
            "machine.device": "cpu",
            "machine.workers": 0,
            "report.html": False,
            "training.epochs": 2,
            "training.batch_size": 8,
            "run_dir": tmp_path / "run",
        }
        return load_config(flags={**tree, **{key.replace("__", "."): value for key, value in keys.items()}})

    return make


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every image file that is decoded, in the process of the test."""
    import ft.data.dataset
    import ft.data.readable
    from ft.data.pictures import Content, Picture

    paths: list[Path] = []
    read, check = ft.data.dataset.read_image, ft.data.readable.examined

    def reading(picture: Picture, *rest: Any) -> Any:
        assert picture.path is not None
        paths.append(picture.path)
        return read(picture, *rest)

    def checking(picture: Picture, content: Content, *rest: Any) -> Any:
        assert picture.path is not None
        paths.append(picture.path)
        return check(picture, content, *rest)

    monkeypatch.setattr(ft.data.dataset, "read_image", reading)
    monkeypatch.setattr(ft.data.readable, "examined", checking)
    return paths


@pytest.fixture
def ft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command line in an empty folder, as `ft("plan", "--backbone", ...)`."""
    from ft.cli import cli
    from ft.errors import FtError

    monkeypatch.chdir(tmp_path)

    def run(*args: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(cli, list(args))
        if fails:
            assert isinstance(result.exception, FtError | SystemExit), result.exception or result.output
        elif result.exception is not None:
            raise result.exception
        return result

    return run
