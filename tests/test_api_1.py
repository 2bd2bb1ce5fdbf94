"""Plugins that were written against version 1 of the plugin API work as they are.

`tests/api_1` has them as they were: what `ft plugins new` wrote for each kind, and two of the examples. Nothing there
is ever changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from ft.extension.installed import load_plugins

PACKAGES = sorted(path for path in (Path(__file__).parent / "api_1").iterdir() if path.name.startswith("ft_"))


@pytest.fixture
def earlier(ft_install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them installed, as they were."""
    for package in PACKAGES:
        files = sorted(package.glob("*.py"))
        ft_install(
            package.name.replace("_", "-"),
            {f"{package.name}/{path.name}": path.read_text(encoding="utf-8") for path in files},
            entry_points={package.name: package.name},
        )


def test_each_is_taken(earlier: None) -> None:
    state = {plugin.module: (plugin.state, plugin.error) for plugin in load_plugins().all}
    assert {package.name: state[package.name] for package in PACKAGES} == {p.name: ("ok", "") for p in PACKAGES}


def test_a_run_uses_them_and_its_model_answers(earlier: None, ft_cli: Callable[..., Result], tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        colour = (20 * number, 0, 0) if number % 2 else (0, 0, 20 * number)
        Image.new("RGB", (20, 20), colour).save(photos / f"{'red' if number % 2 else 'blue'}_{number}.png")
    ft_cli(
        *("run", "--backbone", "before-backbone:small", "--weights", "none", "--data", f"before-data:{photos}"),
        *("--freeze", "before-freeze:1000", "--freeze", "biggest:2", "--head", "before-head", "--epochs", "1"),
        *("--image-size", "32", "--workers", "0", "--run-dir", "run"),
    )
    answers = json.loads(ft_cli("predict", "run", str(photos / "red_1.png"), "--json").stdout)
    assert set(answers[0]["classes"]) == {"red", "blue"}


def test_a_weight_source_of_then_passes_todays_checks(earlier: None, ft_cli: Callable[..., Result]) -> None:
    checked = json.loads(ft_cli("plugins", "check", "ft-before-weights", "--json").stdout)
    assert not [check for check in checked if check["result"] == "failed"]
    assert len([check for check in checked if check["result"] == "passed"]) >= 8
