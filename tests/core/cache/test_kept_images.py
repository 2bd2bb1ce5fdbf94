"""Where nothing of the network is worth keeping, images are decoded once; and what that must not change."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from finished_runs import FinishedRun, assert_same_outcome
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from signal_at_progress import SignalAtProgress

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
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    kept = FinishedRun(tiny_config(run_dir=tmp_path / "kept", **keys), plugins)
    assert (kept.report.cache.promise, kept.report.cache.computed) == ("exact", 0)
    assert kept.report.cache.decoded == 20 * keys.get("images__views", 1) + 4
    assert_same_outcome(plain, kept)


def test_a_second_run_on_kept_images_decodes_none(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, decoded: list[Path]
) -> None:
    FinishedRun(tiny_config(run_dir=tmp_path / "a", **WHOLE), plugins)
    assert decoded
    decoded.clear()
    again = FinishedRun(tiny_config("with-aux", run_dir=tmp_path / "b", training__lr=0.03, **WHOLE), plugins)
    assert (again.report.cache.decoded, decoded) == (0, [])


def test_features_are_computed_from_images_that_were_kept(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, decoded: list[Path]
) -> None:
    FinishedRun(tiny_config(run_dir=tmp_path / "whole", **WHOLE), plugins)
    decoded.clear()
    keys = {**WHOLE, "freeze": ["all"]}
    frozen = FinishedRun(tiny_config(run_dir=tmp_path / "frozen", cache__promise="close", **keys), plugins)
    assert (frozen.report.cache.computed, frozen.report.cache.decoded, decoded) == (24, 0, [])
    exact = FinishedRun(tiny_config(run_dir=tmp_path / "exact", cache__promise="exact", **keys), plugins)
    assert_same_outcome(
        FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins), exact
    )


@pytest.mark.parametrize("where", [("training images", 20), ("epoch 2/2", 5)], ids=str)
def test_a_run_on_kept_images_goes_on_where_it_was_stopped(
    where: tuple[str, int], tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **WHOLE), plugins)
    with pytest.raises(StopAsked):
        finetune(tiny_config(run_dir=tmp_path / "kept", **WHOLE), plugins, SignalAtProgress(*where))
    run = Run(tmp_path / "kept")
    finetune(run.config(trust_code=True), plugins, Display(), run)
    resumed = load_file(run.path / "model.safetensors")
    assert all(torch.equal(plain.weights[name], tensor) for name, tensor in resumed.items())


def test_images_too_large_for_memory_are_mapped_from_disk(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    far = tiny_config(run_dir=tmp_path / "far", cache__memory_gb=0.0, **WHOLE)
    assert prepare(far, plugins, Display()).plan.cache.kept == "disk"
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **WHOLE), plugins)
    assert_same_outcome(plain, FinishedRun(far, plugins))


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_that_changes_while_a_run_decodes_it_anew_is_refused(
    split: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    for number in range(8):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (30 * number, 0, 0)).save(path)
    config = tiny_config(data=str(tmp_path / "photos"), cache__promise="off", training__epochs=2)
    picture = getattr(prepare(config, plugins, Display()).data, split)[0].picture

    class Redraws(Display):
        def say(self, text: str) -> None:
            if text.startswith("run folder"):
                Image.new("RGB", (20, 20), (0, 99, 0)).save(picture.path)

    with pytest.raises(FtError, match=rf"{re.escape(picture.name)} changed since the run began"):
        finetune(config, plugins, Redraws())


def test_images_too_large_for_the_disk_are_not_kept(tiny_config: MakeConfig, plugins: Plugins) -> None:
    keys = {**WHOLE, "cache__disk_gb": 1e-6}
    plan = prepare(tiny_config(**keys), plugins, Display()).plan.cache
    assert (plan.promise, plan.keeps) == ("off", "nothing")
    assert "its decoded images would take 0.1 GB; --set cache.disk_gb=0.1 allows that" in plan.reason
    with pytest.raises(FtError, match="--cache exact is not possible: nothing is frozen"):
        prepare(tiny_config(cache__promise="exact", **keys), plugins, Display())


def test_a_damaged_image_store_is_said_and_made_anew(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "a", **WHOLE), plugins)
    for path in (tmp_path / "cache" / "features").glob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
    again = FinishedRun(tiny_config(run_dir=tmp_path / "b", **WHOLE), plugins)
    assert_same_outcome(plain, again)
    assert again.report.cache.decoded == 24
    assert capsys.readouterr().err.count("were damaged or are gone, and are decoded anew") == 1
