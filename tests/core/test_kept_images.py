"""Where nothing of the network is worth keeping, images are decoded once; and what that must not change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ended import Ended, assert_same
from ft.config import Config
from ft.display import Display
from ft.errors import FtError
from ft.finetune import finetune, prepare
from ft.plugins import Plugins
from ft.runs import Run
from ft.signals import StopAsked
from stopping import StopAt

MakeConfig = Callable[..., Config]
WHOLE = {"images__augment": "none"}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "keys",
    [
        WHOLE,
        {"images__augment": "strong", "images__views": 2, "training__epochs": 5},
        {**WHOLE, "training__mixup": 0.4},
    ],
    ids=["none", "views", "mixup"],
)
def test_a_run_on_kept_images_equals_one_that_decodes_them_anew(
    keys: dict[str, Any], tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    plain = Ended(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    kept = Ended(tiny_config(run_dir=tmp_path / "kept", **keys), plugins)
    assert (kept.report.cache.promise, kept.report.cache.computed) == ("exact", 0)
    assert kept.report.cache.decoded == 20 * keys.get("images__views", 1) + 4
    assert_same(plain, kept)


def test_a_second_run_on_kept_images_decodes_none(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, decoded: list[Path]
) -> None:
    Ended(tiny_config(run_dir=tmp_path / "a", **WHOLE), plugins)
    assert decoded
    decoded.clear()
    again = Ended(tiny_config("with-aux", run_dir=tmp_path / "b", training__lr=0.03, **WHOLE), plugins)
    assert (again.report.cache.decoded, decoded) == (0, [])


def test_features_are_computed_from_images_that_were_kept(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, decoded: list[Path]
) -> None:
    Ended(tiny_config(run_dir=tmp_path / "whole", **WHOLE), plugins)
    decoded.clear()
    keys = {**WHOLE, "freeze": ["all"]}
    frozen = Ended(tiny_config(run_dir=tmp_path / "frozen", cache__promise="close", **keys), plugins)
    assert (frozen.report.cache.computed, frozen.report.cache.decoded, decoded) == (24, 0, [])
    exact = Ended(tiny_config(run_dir=tmp_path / "exact", cache__promise="exact", **keys), plugins)
    assert_same(Ended(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins), exact)


@pytest.mark.parametrize("where", [("training images", 20), ("epoch 2/2", 5)], ids=str)
def test_a_run_on_kept_images_goes_on_where_it_was_stopped(
    where: tuple[str, int], tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    plain = Ended(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **WHOLE), plugins)
    with pytest.raises(StopAsked):
        finetune(tiny_config(run_dir=tmp_path / "kept", **WHOLE), plugins, StopAt(*where))
    run = Run(tmp_path / "kept")
    finetune(run.config(trust_code=True), plugins, Display(), run)
    resumed = load_file(run.path / "model.safetensors")
    assert all(torch.equal(plain.weights[name], tensor) for name, tensor in resumed.items())


def test_images_too_large_for_memory_are_not_kept(tiny_config: MakeConfig, plugins: Plugins) -> None:
    keys = {**WHOLE, "cache__memory_gb": 1e-6}
    plan = prepare(tiny_config(**keys), plugins, Display()).plan.cache
    assert (plan.promise, plan.keeps) == ("off", "nothing")
    assert "more than cache.memory_gb" in plan.reason
    with pytest.raises(FtError, match="--cache exact is not possible: nothing is frozen"):
        prepare(tiny_config(cache__promise="exact", **keys), plugins, Display())


def test_mixup_is_a_barrier_and_the_plan_says_so(tiny_config: MakeConfig, plugins: Plugins) -> None:
    plan = prepare(tiny_config(freeze=["all"], training__mixup=0.2), plugins, Display()).plan.cache
    assert (plan.keeps, plan.prefix_flops) == ("images", 0)
    assert plan.reason.startswith("mixup blends images anew in every step")


def test_mixup_changes_what_is_learned(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    plain = Ended(tiny_config(run_dir=tmp_path / "a", **WHOLE), plugins)
    mixed = Ended(tiny_config(run_dir=tmp_path / "b", training__mixup=0.4, **WHOLE), plugins)
    assert plain.metrics != mixed.metrics
