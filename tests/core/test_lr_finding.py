"""Losses at rising learning rates: of the run's own batches and network, on kept features too; and nothing is left."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import ft
from conftest import TINY
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.lr_finding import find_rates
from ft.machine.display import Display

MakeConfig = Callable[..., Config]
FLAGS = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--set", "data={use: demo, images_per_class: 6, size: 32}"),
    *("--image-size", "16", "--precision", "fp32", "--device", "cpu", "--workers", "0", "--batch-size", "8"),
)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))


def test_kept_features_give_the_losses_of_the_whole_network(tiny_config: MakeConfig, plugins: Plugins) -> None:
    keys: dict[str, Any] = {"freeze": ["all"], "images__augment": "none", "training__clip_norm": 1.0}
    kept, plain = (
        find_rates(tiny_config(cache__promise=promise, **keys), plugins, Display()) for promise in ("exact", "off")
    )
    assert kept == plain
    assert kept.of == "head_lr"
    steps = [math.log10(after / before) for before, after in pairwise(kept.curve.rates)]
    assert steps == pytest.approx([8 / 39] * len(steps))
    assert kept.curve.rates[0] == pytest.approx(1e-7)


def test_all_rates_rise_together(tiny_config: MakeConfig, plugins: Plugins) -> None:
    keys: dict[str, Any] = {"training__lr": 0.001, "training__head_lr": 0.02, "images__augment": "none"}
    groups = [{"match": "regex:stem.*", "lr": 0.0005}]
    found = find_rates(tiny_config(groups=groups, **keys), plugins, Display())
    assert (found.of, found.planned, found.ratio, found.groups) == ("lr", 0.001, 20.0, True)
    assert found.curve.rates[0] * found.ratio == pytest.approx(1e-7)  # the largest rate is where they begin
    tenfold = {"training__lr": 0.01, "training__head_lr": 0.2, "images__augment": "none"}
    other = find_rates(tiny_config(groups=[{**groups[0], "lr": 0.005}], **tenfold), plugins, Display())
    assert other.curve.losses == pytest.approx(found.curve.losses, rel=1e-4)  # only ratios count
    assert other.curve.rates == pytest.approx(found.curve.rates)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"training__optimizer": "lbfgs"}, "--optimizer lbfgs solves for the head at once, and has no learning rate"),
        ({"training__optimizer": "sweep"}, "--optimizer sweep tries many learning rates itself"),
    ],
)
def test_what_has_no_one_rate_is_refused(
    keys: dict[str, Any], said: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=said):
        find_rates(tiny_config(freeze=["all"], **keys), plugins, Display())


def test_a_run_in_phases_is_refused(plugins: Plugins) -> None:
    config = load_config({"backbone": f"{TINY}:small", "phases": [{"epochs": 1}, {"epochs": 2}]})
    with pytest.raises(FtError, match="a run in phases has learning rates for each of them"):
        find_rates(config, plugins, Display())


def test_nothing_is_left_behind_but_kept_features_and_the_page(ft_cli: Callable[..., Result]) -> None:
    result = ft_cli("lr-find", *FLAGS, "--freeze", "all", "--run-dir", "runs/one", "--html", "page.html", "--json")
    told = json.loads(result.stdout)
    assert len(told["rates"]) == len(told["losses"]) == len(told["smooth"]) >= 10
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["cache", "page.html"]
    assert "Loss by learning rate" in Path("page.html").read_text(encoding="utf-8")


def test_from_python_it_is_a_record_that_prints_what_the_command_prints(ft_cli: Callable[..., Result]) -> None:
    keys: dict[str, Any] = {"image_size": 16, "precision": "fp32", "device": "cpu", "workers": 0, "batch_size": 8}
    data = {"use": "demo", "images_per_class": 6, "size": 32}
    found = ft.find_lr(backbone=f"{TINY}:small", weights="none", data=data, **keys)
    printed = ft_cli("lr-find", *FLAGS).stdout
    assert printed.split()[: len(str(found).split())] == str(found).split()
    assert repr(found).startswith(f"<learning rates of {TINY}:small on demo: ")
