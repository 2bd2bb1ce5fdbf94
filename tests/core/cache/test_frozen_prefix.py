"""Computing the frozen prefix once is the same computation: whole runs, with and without, end in the same bits."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file

import ft.cache.proof
import ft.training.loop
from faults.repetitions import FULL
from finished_runs import FinishedRun, assert_same_outcome, metrics_in
from ft.cache import decision
from ft.cache.proof import NotProved
from ft.cache.store import FeatureStore
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine import devices
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.run.report import Report
from ft.task.evaluation import figures_of
from memory_maps import mapped_file_at, needs_maps
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
Pair = Callable[..., tuple[FinishedRun, FinishedRun]]


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def plain_and_cached(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> Pair:
    """Runs of a network, of which only the head trains unless keys say more, with and without features kept."""

    def run(network: str, promise: str, **keys: Any) -> tuple[FinishedRun, FinishedRun]:
        keys = {"freeze": ["all"], "images__augment": "none", **keys}
        plain = FinishedRun(tiny_config(network, run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
        return plain, FinishedRun(
            tiny_config(network, run_dir=tmp_path / "cached", cache__promise=promise, **keys), plugins
        )

    return run


@pytest.fixture
def bf16_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is emulated where it is not."""
    monkeypatch.setattr("ft.cache.decision.has_fast_bf16", lambda _: True)


def torchvision_config(tmp_path: Path, name: str, model: str, **keys: Any) -> Config:
    tree = {
        "backbone": f"torchvision:{model}",
        "weights": "none",
        "data": {"use": "demo", "images_per_class": 4, "size": 32},
        "images.size": 32,
        "images.augment": "none",
        "machine.precision": "fp32",
        "machine.device": "cpu",
        "machine.workers": 0,
        "training.epochs": 2,
        "training.batch_size": 6,
        "report.html": False,
        "run_dir": tmp_path / name,
    }
    return load_config(flags={**tree, **{key.replace("__", "."): value for key, value in keys.items()}})


NETWORKS = {
    "resnet18": ("all", "until:layer3"),
    "mobilenet_v3_small": ("all", "depth:60%"),
    "shufflenet_v2_x0_5": ("until:stage3",),
    "squeezenet1_1": ("depth:-1",),
    "densenet121": ("until:denseblock3",),
    "mnasnet0_5": ("all",),
    "regnet_y_400mf": ("depth:-1",),
    "efficientnet_b0": ("depth:-2",),
    "googlenet": ("until:inception4a",),
    "swin_t": ("all",),
}


QUICK = [("mobilenet_v3_small", "all")]
QUICK += [("squeezenet1_1", "depth:-1")]  # small networks of each family: tests/core/prefix/test_equality.py
MAY_DEPEND_ON_THE_BATCH = {"mobilenet_v3_small", "regnet_y_400mf", "efficientnet_b0"}
"""Their squeeze-and-excitation multiplies small matrices, which some processors sum in an order that follows the batch;
that is noticed, and only images are kept."""


@pytest.mark.faults
@pytest.mark.parametrize(
    ("model", "freeze"), [(m, f) for m, freezes in NETWORKS.items() for f in freezes] if FULL else QUICK
)
def test_a_cached_run_equals_an_uncached_one_in_every_bit(
    model: str, freeze: str, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {"freeze": [freeze], "training__optimizer": "sgd"}
    plain = FinishedRun(torchvision_config(tmp_path, "plain", model, cache__promise="off", **keys), plugins)
    cached = FinishedRun(torchvision_config(tmp_path, "cached", model, cache__promise="exact", **keys), plugins)
    assert plain.report.cache.promise == "off"
    assert_same_outcome(plain, cached)
    if model in MAY_DEPEND_ON_THE_BATCH and not cached.report.cache.computed:
        assert "depends" in cached.report.cache.reason or "differently" in cached.report.cache.reason
    else:
        assert (cached.report.cache.promise, cached.report.cache.computed) == ("exact", 16), cached.report.cache.reason


MINE = """
from ft import FreezeStrategy

def select(backbone, argument, settings):
    return {name for name in backbone.parameter_names() if name.startswith(("scale", "stem", "layer1.0"))}

Mine = FreezeStrategy("mine", "A third party's", select=select)
"""


FREEZES = ["bitfit", "fisher:1", "type:conv", "until:layer1", "depth:-1", "regex:(scale|stem|layer2).*", "mine"]
USUAL_VIEWS = list(zip(FREEZES, itertools.cycle([2, None]), strict=False))


@pytest.mark.faults
@pytest.mark.parametrize(("freeze", "views"), list(itertools.product(FREEZES, [None, 2])) if FULL else USUAL_VIEWS)
def test_whatever_a_strategy_freezes_a_cached_run_equals_an_uncached_one(
    freeze: str, views: int | None, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    keys = {
        "freeze": [f"{tmp_path}/mine.py:Mine" if freeze == "mine" else freeze],
        "images__augment": "standard" if views else "none",
        "images__views": views,
        "training__epochs": 2 * (views or 1),
    }
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    cached = FinishedRun(
        tiny_config(run_dir=tmp_path / "cached", cache__promise="exact", cache__memory_gb=0.0, **keys), plugins
    )
    assert_same_outcome(plain, cached)
    assert cached.report.cache.promise == "exact"


@pytest.mark.faults
@pytest.mark.parametrize("augment", ["flip", "standard", "strong"] if FULL else ["standard"])
def test_replayed_views_are_the_same_cached_and_uncached(
    augment: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {"freeze": ["all"], "images__augment": augment, "images__views": 2, "training__epochs": 5}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    cached = FinishedRun(tiny_config(run_dir=tmp_path / "cached", cache__promise="exact", **keys), plugins)
    assert cached.report.cache.computed == 20 * 2 + 4
    assert_same_outcome(plain, cached)


def test_a_second_run_with_another_rate_and_head_decodes_nothing(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, decoded: list[Path]
) -> None:
    first = FinishedRun(tiny_config(run_dir=tmp_path / "a", freeze=["all"], cache__promise="exact"), plugins)
    assert first.report.cache.computed == 24
    assert decoded
    decoded.clear()
    keys = {"training__lr": 0.03, "head": {"use": "mlp", "hidden": [6]}, "cache__promise": "exact"}
    second = FinishedRun(tiny_config(run_dir=tmp_path / "b", freeze=["all"], **keys), plugins)
    assert second.report.cache.computed == 0
    assert (second.report.cache.decoded, decoded) == (0, [])


@pytest.mark.faults
@pytest.mark.parametrize("promise", ["exact", "close"] if FULL else ["exact"])
def test_a_deeper_freeze_starts_from_the_features_of_a_shallower_one(
    promise: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, decoded: list[Path]
) -> None:
    def run(name: str, freeze: str, cache: str) -> FinishedRun:
        keys = {
            "freeze": [freeze],
            "images__augment": "none",
            "images__size": 32,
            "training__epochs": 9,
            "cache__promise": cache,
        }
        return FinishedRun(tiny_config("narrowing", run_dir=tmp_path / name, **keys), plugins)

    shallow = run("shallow", "until:middle", promise)
    assert shallow.report.cache.computed == 24
    decoded.clear()
    deep = run("deep", "all", promise)
    assert deep.report.cache.computed == 0
    assert (deep.report.cache.decoded, decoded) == (0, [])
    if promise == "exact":
        assert_same_outcome(run("plain", "all", "off"), deep)


def test_a_head_is_solved_for_on_features_that_were_computed_for_steps(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    """An activation lies beside what is frozen, as that of a ResNet does, so its mode is another one."""

    def run(name: str, optimizer: str) -> int:
        keys = {"freeze": ["all"], "cache__promise": "exact", "training__optimizer": optimizer}
        config = tiny_config("activated", run_dir=tmp_path / name, **keys)
        return FinishedRun(config, plugins).report.cache.computed

    assert run("steps", "adamw") == 24
    assert run("solved", "lbfgs") == 0


def test_features_of_another_network_are_left_alone(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    """Nodes of both have the same names, and the second network needs values that were never kept of the first."""
    keys = {"freeze": ["all"], "cache__promise": "exact"}
    FinishedRun(tiny_config("small", run_dir=tmp_path / "a", **keys), plugins)
    cached = FinishedRun(tiny_config("with-aux", run_dir=tmp_path / "b", **keys), plugins)
    assert cached.report.cache.computed == 24
    plain = FinishedRun(tiny_config("with-aux", run_dir=tmp_path / "c", **{**keys, "cache__promise": "off"}), plugins)
    assert_same_outcome(plain, cached)


@pytest.mark.parametrize(
    "keys",
    [
        {"images__size": 24},
        {"images__fit": "pad"},
        {"cache__promise": "close"},
        {"seed": 1},  # other random weights
        {"training__batch_size": 4},
        {"machine__channels_last": False},
    ],
    ids=str,
)
def test_whatever_changes_features_changes_their_key(
    keys: dict[str, Any], tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    base = {"freeze": ["all"], "cache__promise": "exact"}
    FinishedRun(tiny_config(run_dir=tmp_path / "a", **base), plugins)
    second = FinishedRun(tiny_config(run_dir=tmp_path / "b", **{**base, **keys}), plugins)
    assert second.report.cache.computed > 0


def test_an_image_that_changed_on_disk_is_computed_again(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(6):
            color = (number * 30, 200 if label == "a" else 20, 90)
            Image.new("RGB", (20, 20), color).save(tmp_path / "photos" / label / f"{number}.png")

    def computed(name: str) -> int:
        keys = {"data": str(tmp_path / "photos"), "freeze": ["all"], "cache__promise": "exact"}
        return FinishedRun(tiny_config(run_dir=tmp_path / name, **keys), plugins).report.cache.computed

    assert computed("first") == 12
    assert computed("second") == 0
    Image.new("RGB", (20, 20), "white").save(tmp_path / "photos" / "a" / "0.png")
    assert computed("third") > 0


@pytest.mark.parametrize(("title", "done"), [("epoch 1/3", 2), ("epoch 3/3", 8), ("training features", 8)])
def test_a_cached_run_that_was_stopped_and_resumed_equals_an_uncached_one(
    title: str, done: int, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {"freeze": ["all"], "head": {"use": "mlp", "hidden": [6]}, "training__epochs": 3, "images__augment": "none"}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    config = tiny_config(run_dir=tmp_path / "cached", cache__promise="exact", **keys)
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress(title, done))
    run = Run(tmp_path / "cached")
    _, report = finetune(run.config(trust_code=True), plugins, Display(), run)
    resumed = load_file(run.path / "model.safetensors")
    assert (report.cache.promise, report.cache.computed) == ("exact", 24 - done if title == "training features" else 0)
    assert all(torch.equal(plain.weights[name], tensor) for name, tensor in resumed.items())
    assert metrics_in(run.path) == plain.metrics


DRAWING_HEAD = """
import random

import numpy as np
from torch import nn

from ft import HeadBuilder


class Drawing(nn.Linear):
    def forward(self, x):
        return super().forward(x * (0.5 + random.random() + np.random.rand()) if self.training else x)


def build(feature_dim, num_classes, settings):
    return Drawing(feature_dim, num_classes)


Drawn = HeadBuilder("drawn", "Scales features by numbers that are not torch's", build=build)
"""


def test_a_head_that_draws_numbers_in_python_draws_the_same_from_kept_features(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    (tmp_path / "drawn.py").write_text(DRAWING_HEAD)
    keys = {"freeze": ["all"], "head": f"{tmp_path / 'drawn.py'}:Drawn", "images__augment": "none"}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    cached = FinishedRun(tiny_config(run_dir=tmp_path / "cached", cache__promise="exact", **keys), plugins)
    assert cached.report.cache.promise == "exact"
    assert_same_outcome(plain, cached)


@pytest.mark.usefixtures("bf16_is_fast")
@pytest.mark.parametrize("promise", ["close", "fast"])
def test_looser_promises_come_near(promise: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    keys = {"freeze": ["all"], "training__epochs": 3}
    plain = FinishedRun(
        tiny_config(run_dir=tmp_path / "plain", cache__promise="off", images__augment="none", **keys), plugins
    )
    loose = FinishedRun(tiny_config(run_dir=tmp_path / "loose", cache__promise=promise, **keys), plugins)
    assert loose.report.cache.promise == promise
    for one, other in zip(plain.metrics, loose.metrics, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4 if promise == "close" else 3e-2)


@pytest.mark.parametrize("batch_size", [64, 19])
def test_all_images_in_one_batch_are_computed_in_it(
    batch_size: int, plain_and_cached: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, cached = plain_and_cached("small", "exact", training__batch_size=batch_size)
    assert_same_outcome(plain, cached)
    assert cached.report.cache.computed == 24
    assert cached.report.cache.decoded == 24  # the proof takes two batches, each with all images to train on
    assert "last batch" not in capsys.readouterr().err


def test_features_too_large_for_memory_are_mapped_from_disk(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {"freeze": ["all"], "cache__promise": "exact"}
    near = FinishedRun(tiny_config(run_dir=tmp_path / "a", **keys), plugins)
    far = FinishedRun(tiny_config(run_dir=tmp_path / "b", cache__memory_gb=0.0, **keys), plugins)
    assert far.report.cache.computed == 0
    assert_same_outcome(near, far)


def test_where_the_proof_fails_images_are_decoded_once_all_the_same(
    tiny_config: MakeConfig,
    plugins: Plugins,
    tmp_path: Path,
    decoded: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def prove(*_: Any) -> Any:
        raise NotProved("what an image gives depends on its batch")

    monkeypatch.setattr("ft.training.feeds.prove", prove)
    keys = {"freeze": ["all"], "training__epochs": 3}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "a", cache__promise="off", **keys), plugins)
    decoded.clear()
    cached = FinishedRun(tiny_config(run_dir=tmp_path / "b", cache__promise="exact", **keys), plugins)
    assert_same_outcome(plain, cached)
    assert set(Counter(decoded).values()) == {1}  # the check remembers them from the plain run
    cost = cached.report.cache
    assert (cost.computed, cost.decoded, cost.reason) == (0, 24, "what an image gives depends on its batch")
    assert "computed in every epoch after all: what an image gives" in capsys.readouterr().err


@pytest.mark.parametrize("kept", [False, True], ids=["decoded", "from kept images"])
def test_a_last_image_that_joins_the_batch_before_it_changes_no_bit(
    kept: bool, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 images in batches of 19, and 4 in batches of 3: the plain loop has one batch of 20, and one of 4."""
    sizes: list[int] = []

    def recorded(batches: Iterable[tuple[torch.Tensor, torch.Tensor]], *about: Any) -> Mapping[str, float]:
        listed = list(batches)
        sizes.extend(len(targets) for _, targets in listed)
        return figures_of(listed, *about)

    monkeypatch.setattr("ft.training.loop.figures_of", recorded)
    for size in (19, 3):
        keys = {"training__batch_size": size, "freeze": ["all"], "training__optimizer": "sgd"}
        if kept:
            FinishedRun(
                tiny_config(run_dir=tmp_path / f"images{size}", **{**keys, "freeze": []}, images__augment="none"),
                plugins,
            )
        sizes.clear()
        plain = FinishedRun(tiny_config(run_dir=tmp_path / f"plain{size}", cache__promise="off", **keys), plugins)
        wanted = sizes.copy()
        sizes.clear()
        cached = FinishedRun(tiny_config(run_dir=tmp_path / f"cached{size}", cache__promise="exact", **keys), plugins)
        assert_same_outcome(plain, cached)
        assert (sizes, set(sizes), cached.report.cache.computed) == (wanted, {4}, 24)


@pytest.mark.parametrize(("disk_gb", "again"), [(20.0, 0), (5e-6, 2 * 6)], ids=["room", "no room"])
def test_a_short_batch_that_is_computed_anew_decodes_only_where_there_is_no_room_for_images(
    disk_gb: float, again: int, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, decoded: list[Path]
) -> None:
    """16 images in batches of 5 are two of them and one of 6, in each of two epochs."""
    keys = {"training__batch_size": 5, "freeze": ["all"], "training__optimizer": "sgd", "cache__disk_gb": disk_gb}
    keys["data"] = {"use": "demo", "images_per_class": 5, "size": 32}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    first = FinishedRun(tiny_config(run_dir=tmp_path / "first", cache__promise="exact", **keys), plugins)
    assert first.report.cache.computed == 20
    decoded.clear()
    second = FinishedRun(tiny_config(run_dir=tmp_path / "second", cache__promise="exact", **keys), plugins)
    assert_same_outcome(plain, first)
    assert_same_outcome(plain, second)
    assert len(decoded) - second.report.cache.decoded - len(second.validated) == again


def test_views_without_augmentation_are_kept_apart_from_no_views(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {"freeze": ["all"], "images__augment": "none", "training__epochs": 4}
    FinishedRun(tiny_config(run_dir=tmp_path / "one", **keys), plugins)
    two = FinishedRun(tiny_config(run_dir=tmp_path / "two", images__views=2, **keys), plugins)
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", images__views=2, cache__promise="off", **keys), plugins)
    assert_same_outcome(plain, two)


def test_proof_images_take_no_room_that_features_need(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {"freeze": ["all"], "cache__promise": "exact", "cache__disk_gb": 5e-6}
    first = FinishedRun(tiny_config(run_dir=tmp_path / "first", **keys), plugins)
    second = FinishedRun(tiny_config(run_dir=tmp_path / "second", **keys), plugins)
    assert_same_outcome(first, second)
    assert (first.report.cache.computed, second.report.cache.computed) == (24, 0)
    assert first.report.cache.decoded - 24 == second.report.cache.decoded == 16  # two batches of 8, in each run


def test_features_of_a_shallower_freeze_serve_even_where_they_have_to_make_room(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, freeze: str) -> FinishedRun:
        keys = {
            "freeze": [freeze],
            "images__augment": "none",
            "images__size": 32,
            "training__epochs": 9,
            "cache__promise": "exact",
        }
        return FinishedRun(tiny_config("narrowing", run_dir=tmp_path / name, cache__memory_gb=0.0, **keys), plugins)

    run("shallow", "until:middle")
    whole = FeatureStore.prune
    monkeypatch.setattr(FeatureStore, "prune", lambda store, _, room=0: whole(store, 0))
    deep = run("deep", "all")
    assert 0 < deep.report.cache.computed < 24  # what was kept of the validation images made room for the training's


def test_memory_that_runs_out_in_the_proof_ends_no_run(
    tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prove(*_: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("ft.training.feeds.prove", prove)
    finished = FinishedRun(tiny_config(freeze=["all"], cache__promise="exact"), plugins)
    assert (finished.report.cache.computed, finished.report.cache.reason) == (
        0,
        "memory runs out where it would be computed once",
    )


@pytest.mark.parametrize("promise", ["exact", "close"])
def test_a_network_that_looks_across_the_batch_keeps_no_features_of_other_batches(
    promise: str, plain_and_cached: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, cached = plain_and_cached("centred", promise)
    assert_same_outcome(plain, cached)
    assert cached.report.cache.computed == 0
    assert "computed in every epoch after all" in capsys.readouterr().err


def test_where_the_proof_fails_at_one_cut_an_earlier_one_is_proved(
    plain_and_cached: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = iter(["depends on the images that share its batch"])
    monkeypatch.setattr("ft.cache.proof.probe_shuffled", lambda *_: next(found, None))
    plain, cached = plain_and_cached("narrowing", "exact", training__epochs=3, images__size=32)
    assert_same_outcome(plain, cached)
    assert (cached.report.cache.promise, cached.report.cache.computed) == ("exact", 24), cached.report.cache.reason
    assert 1 < cached.report.cache.ceiling < 10  # of the cut that is used, not of the planned one
    said = capsys.readouterr().err
    assert "cut after flatten: what an image gives depends on the images that share its batch; an earlier one" in said
    assert "is not proved (what an image gives depends on" in said


@pytest.mark.parametrize("promise", ["exact", "close"])
def test_what_a_layer_keeps_while_features_are_computed_does_not_reach_training(
    promise: str, plain_and_cached: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, cached = plain_and_cached("doubled", promise)
    if promise == "exact":
        assert_same_outcome(plain, cached)
    assert (cached.report.cache.computed, plain.report.cache.computed) == (24, 0)
    assert "after all" not in capsys.readouterr().err


@pytest.mark.parametrize("promise", ["exact", "close", "fast"])
def test_a_network_that_cannot_be_traced_is_computed_once_up_to_a_module_boundary(
    promise: str, plain_and_cached: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    precision = "bf16" if promise == "fast" else "fp32"
    plain, cached = plain_and_cached("checked", promise, machine__precision=precision)
    if promise == "exact":
        assert_same_outcome(plain, cached)
    assert (cached.report.cache.computed, plain.report.cache.computed) == (24, 0)
    assert "after all" not in capsys.readouterr().err


def test_a_network_that_bears_no_module_boundary_after_all_ends_no_run(
    plain_and_cached: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, cached = plain_and_cached("chunked", "close")
    assert_same_outcome(plain, cached)
    assert "goes through a batch in parts" in capsys.readouterr().err


@pytest.mark.usefixtures("bf16_is_fast")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_where_the_proof_of_a_promise_fails_a_stricter_one_is_kept(
    precision: str,
    plain_and_cached: Pair,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Layers that cannot be copied cannot be folded; in bf16 too, what is computed once is what the plain loop does."""
    plain, cached = plain_and_cached("uncopyable", "fast", machine__precision=precision)
    assert_same_outcome(plain, cached)
    cost = cached.report.cache
    why = "because its layers cannot be copied (cannot pickle '_thread.lock' object)"
    assert (cost.promise, cost.computed) == ("exact", 24)
    assert cost.reason == f"{precision}, bit for bit; not close, {why}"
    said = capsys.readouterr().err
    assert "features are not kept as 'fast' promises, so 'close' is tried: its layers cannot be copied" in said
    assert "features are not kept as 'close' promises, so 'exact' is tried: its layers cannot be copied" in said


HIDDEN = ["offset-constant", "offset-bias", "offset-channel", "offset-saturated", "two-ways"]


@pytest.mark.faults
@pytest.mark.usefixtures("bf16_is_fast")
@pytest.mark.parametrize("network", HIDDEN if FULL else ["offset-channel", "two-ways"])
def test_what_bf16_would_lose_is_kept_in_fp32(
    network: str,
    plain_and_cached: Pair,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frozen = {"freeze": ["until:layer2"]}
    plain, cached = plain_and_cached(network, "fast", **frozen)
    cost = cached.report.cache
    assert (cost.promise, cost.computed) == ("close", 24)
    assert cost.reason.startswith("fp32, folded; not fast, because what an image gives is off by")
    assert "so 'close' is tried: what an image gives is off by" in capsys.readouterr().err
    assert cached.metrics[-1]["train_loss"] == pytest.approx(plain.metrics[-1]["train_loss"], rel=1e-3)


@pytest.mark.faults
@pytest.mark.parametrize("network", HIDDEN[:4] if FULL else ["offset-saturated"])
@pytest.mark.parametrize("cache", ["auto", "off"])
def test_a_run_chooses_fp32_where_bf16_loses_what_tells_images_apart(
    network: str, cache: str, tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (decision, devices):
        monkeypatch.setattr(module, "has_fast_bf16", lambda _: True)
    monkeypatch.setattr(
        "ft.precision.fastest", lambda paces, usual: replace(usual, precision="bf16") if paces else usual
    )
    keys = {"freeze": ["all"], "cache__promise": cache, "machine__precision": "auto", "training__epochs": 3}
    fine = prepare(tiny_config(**keys), plugins, Display(), "pretrained").plan
    assert (fine.precision, [each for each in fine.warnings if "bf16" in each]) == ("bf16", [])
    plan = prepare(tiny_config(network, **keys), plugins, Display(), "pretrained").plan
    assert (plan.precision, plan.cache.promise) == ("fp32", "fast" if cache == "auto" else "off")
    (warning,) = (each for each in plan.warnings if "bf16" in each)
    assert warning.startswith("the run is in fp32, since this network does not bear bf16: what an image gives the head")
    demanded = prepare(tiny_config(network, **keys | {"machine__precision": "bf16"}), plugins, Display(), "pretrained")
    assert demanded.plan.precision == "bf16"
    assert any("does not bear --precision bf16" in each for each in demanded.plan.warnings)


def test_features_that_are_not_what_the_network_computes_are_computed_anew(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {"freeze": ["all"], "cache__promise": "exact"}
    first = FinishedRun(tiny_config(run_dir=tmp_path / "a", **keys), plugins)
    store = FeatureStore(10**9)
    (entry,) = (each for each in store.entries() if each.rows == 20 and each.about["promise"] == "exact")
    kept = store.glance(entry)
    assert kept is not None
    with store.write(entry.key, entry.shapes, 20, entry.about) as writer:  # whole, under its names, and wrong
        writer.put(0, (torch.zeros(20, 8), kept.tensors[1]))
    again = FinishedRun(tiny_config(run_dir=tmp_path / "b", **keys), plugins)
    assert_same_outcome(first, again)
    assert again.report.cache.computed == 24  # nor are those of validation images believed
    assert "are not what the network computes, and are computed anew" in capsys.readouterr().err


@pytest.mark.faults
@pytest.mark.parametrize(
    ("first", "views"),
    [("all", None), ("regex:(scale|stem).*", 2), *([("all", 2), ("regex:(scale|stem).*", None)] if FULL else [])],
)
def test_features_of_a_network_that_differs_where_nobody_can_look_are_left_alone(
    views: int | None, first: str, tiny_config: MakeConfig, plain_and_cached: Pair, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {"images__views": views, "images__augment": "flip" if views else "none", "training__epochs": 4}
    FinishedRun(
        tiny_config("scaled-1", run_dir=tmp_path / "other", freeze=[first], cache__promise="exact", **keys), plugins
    )
    plain, cached = plain_and_cached("scaled-3", "exact", **keys)
    assert_same_outcome(plain, cached)
    assert cached.report.cache.computed == 20 * (views or 1) + 4


@pytest.mark.faults
@pytest.mark.parametrize("promise", ["exact", "close"] if FULL else ["exact"])
@pytest.mark.parametrize(
    ("network", "computed"), [("remembering", 24), ("remembering-later", 0), ("tapped", 0), ("checked-tapped", 0)]
)
def test_a_network_whose_layers_leave_something_for_others_trains_as_if_nobody_had_looked_at_it(
    network: str, computed: int, promise: str, plain_and_cached: Pair
) -> None:
    plain, cached = plain_and_cached(network, promise)
    assert cached.report.cache.computed == computed
    if promise == "exact" or not computed:
        assert_same_outcome(plain, cached)


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_map_of_one_pixel_crosses_the_cut(channels_last: bool, plain_and_cached: Pair) -> None:
    keys = {"freeze": ["regex:features.*"], "machine__channels_last": channels_last}
    plain, cached = plain_and_cached("one-pixel-map", "close", **keys)
    assert cached.report.cache.computed == 24
    assert cached.metrics[-1]["train_loss"] == pytest.approx(plain.metrics[-1]["train_loss"], abs=1e-4)


def test_views_that_are_seen_at_all_twice_are_kept(plain_and_cached: Pair) -> None:
    keys = {"images__augment": "flip", "images__views": 3, "training__epochs": 5}
    plain, cached = plain_and_cached("small", "exact", **keys)
    assert cached.report.cache.computed == 3 * 20 + 4
    assert_same_outcome(plain, cached)


def test_an_image_that_changes_between_its_check_and_its_decoding_is_refused(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (20, 20), (number * 30, 90, 90)).save(tmp_path / "photos" / label / f"{number}.png")

    def changing(*args: Any) -> Any:
        Image.new("RGB", (20, 20), "white").save(tmp_path / "photos" / "a" / "0.png")
        return ft.cache.proof.prove(*args)

    monkeypatch.setattr("ft.training.feeds.prove", changing)
    keys = {"data": str(tmp_path / "photos"), "freeze": ["all"], "cache__promise": "exact"}
    prepare(tiny_config(**keys), plugins, Display())  # a plan keeps no images, so the run decodes what it has checked
    with pytest.raises(FtError, match=r"0\.png changed since the run began; run the same command again"):
        finetune(tiny_config(**keys), plugins, Display())


def test_a_cache_that_cannot_be_written_ends_no_run_and_the_plan_says_so(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").write_text("in the way")
    reason = f"nothing can be kept: {tmp_path}/cache/features is no folder that can be written to; set FT_CACHE to one"
    cache = planned(tiny_config, plugins, freeze=["all"])
    assert (cache.promise, cache.reason) == ("off", reason)
    assert FinishedRun(tiny_config(freeze=["all"]), plugins).report.cache.reason == reason
    with pytest.raises(FtError, match=r"--cache exact is not possible: nothing can be kept"):
        planned(tiny_config, plugins, freeze=["all"], cache__promise="exact")


def test_a_cache_that_is_only_read_is_an_obstacle_unless_it_may_have_what_is_needed(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"images__augment": "none", "cache__promise": "exact", "training__batch_size": 4}  # 8 images of the proof
    FinishedRun(tiny_config(freeze=["all"], **keys), plugins)
    monkeypatch.setattr(FeatureStore, "obstacle", lambda store, size: "it is only read")
    assert planned(tiny_config, plugins, freeze=["all"], **keys).keeps == "features"
    with pytest.raises(FtError, match="nothing can be kept: it is only read"):
        planned(tiny_config, plugins, freeze=["until:layer1"], **{**keys, "images__size": 24})


@pytest.mark.parametrize(
    ("freeze", "asked"),  # how often the disk is asked for room before it is full: by the plan, and twice by the proof
    [(["all"], 3), ([], 1)],
    ids=["features", "images"],
)
def test_a_cache_that_becomes_unwritable_ends_only_runs_that_demand_it(
    freeze: list[str],
    asked: int,
    tiny_config: MakeConfig,
    plugins: Plugins,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = {"freeze": freeze, "images__augment": "none"}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    full = "1.0 GB are needed, and none is free"

    def fill_up_when_it_is_written() -> None:
        obstacles = iter([""] * asked)
        monkeypatch.setattr(FeatureStore, "obstacle", lambda store, size: next(obstacles, full))

    fill_up_when_it_is_written()
    without = FinishedRun(tiny_config(run_dir=tmp_path / "auto", **keys), plugins)
    assert_same_outcome(plain, without)
    assert (without.report.cache.promise, without.report.cache.reason) == ("off", full)
    fill_up_when_it_is_written()
    with pytest.raises(FtError, match=full):
        finetune(tiny_config(run_dir=tmp_path / "exact", cache__promise="exact", **keys), plugins, Display())


def planned(tiny_config: MakeConfig, plugins: Plugins, **keys: Any) -> Any:
    return prepare(tiny_config(**keys), plugins, Display()).plan.cache


def test_the_plan_says_where_the_cut_is_and_what_it_is_worth(tiny_config: MakeConfig, plugins: Plugins) -> None:
    cache = planned(tiny_config, plugins, freeze=["all"])
    assert cache.promise == "exact"
    assert cache.tensors == ("mean [8]",)
    assert (cache.bytes_per_image, cache.images, cache.bytes) == (32, 24, 32 * 24)
    assert cache.kept == "memory"
    assert cache.ceiling > 100
    assert cache.prefix_flops > cache.suffix_flops > 0


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "nothing is frozen, and augmentation 'standard'"),
        ({"freeze": ["until:stem"]}, "--views 4 replays four, --augment none makes none"),
        ({"freeze": ["all"], "training__epochs": 1}, "seen once only"),
        ({"freeze": ["all"], "cache__promise": "off"}, "--cache off"),
    ],
    ids=str,
)
def test_where_nothing_is_kept_the_plan_says_why(
    keys: dict[str, Any], reason: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    cache = planned(tiny_config, plugins, **keys)
    assert cache.promise == "off"
    assert reason in cache.reason


def test_a_promise_that_cannot_be_kept_is_an_error_when_it_was_demanded(
    tiny_config: MakeConfig, plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=r"--cache exact is not possible: augmentation 'standard'.*--views"):
        planned(tiny_config, plugins, freeze=["until:stem"], cache__promise="exact")
    for promise in ("exact", "close"):
        with pytest.raises(FtError, match=f"--cache {promise} promises fp32"):
            planned(tiny_config, plugins, freeze=["all"], cache__promise=promise, machine__precision="bf16")


def test_auto_says_which_promise_it_took_and_a_lesser_one_than_demanded_is_said(
    tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = planned(tiny_config, plugins, freeze=["all"], machine__precision="bf16")
    assert (fast.promise, fast.reason) == ("fast", "bf16, folded; chosen because the run is in bf16")
    exact = planned(tiny_config, plugins, freeze=["all"])
    assert (exact.promise, exact.reason) == ("exact", "fp32, bit for bit; chosen because the run is in fp32")
    monkeypatch.setattr("ft.cache.decision.has_fast_bf16", lambda _: False)
    close = planned(tiny_config, plugins, freeze=["all"], cache__promise="fast")
    assert (close.promise, close.reason) == (
        "close",
        "fp32, folded; not fast, because bf16 is emulated on this processor, which is slower",
    )


@pytest.mark.parametrize("promise", ["exact", "close"])
def test_a_promise_of_fp32_makes_the_run_fp32(promise: str, tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(freeze=["all"], cache__promise=promise, machine__precision="auto")
    assert prepare(config, plugins, Display()).plan.precision == "fp32"


def test_only_a_head_that_trains_alone_does_without_augmentation_by_itself(
    tiny_config: MakeConfig, plugins: Plugins
) -> None:
    def augment(**keys: Any) -> str:
        return prepare(tiny_config(**keys), plugins, Display()).config.images.augment.use

    assert augment(freeze=["all"]) == "none"
    assert augment(freeze=["until:layer1"]) == "standard"
    assert augment(freeze=["all"], images__views=3) == "standard"


def test_batchnorm_left_in_train_mode_moves_the_cut_before_it(tiny_config: MakeConfig, plugins: Plugins) -> None:
    cache = planned(tiny_config, plugins, freeze=["all"], train=["regex:stem.1.weight"], images__augment="none")
    assert not any(tensor.startswith("mean") for tensor in cache.tensors)


def test_dropout_in_the_classifier_moves_the_cut_before_it_and_the_plan_says_so(
    tiny_config: MakeConfig, plugins: Plugins, ft: Callable[..., Result]
) -> None:
    config = tiny_config("mixed", freeze=["all"], run_dir=None)
    cache = prepare(config, plugins, Display()).plan.cache
    said = "classifier.2 draws random numbers (aten.bernoulli_): cut moved before it"
    assert cache.barriers == (said,)
    Path("config.json").write_text(config.model_dump_json())
    output = ft("plan", "--config", "config.json").output
    lines = {name: text.strip() for name, _, text in (line.partition(" ") for line in output.splitlines())}
    assert lines["barrier"] == said
    assert lines["cut"] == "pool.1 [6]: 24 B an image, 576 B in memory"
    assert lines["ceiling"].startswith("epochs ")
    assert "leaves memory" in lines["memory"]


def test_where_features_came_from_is_in_the_report(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    report: Report = FinishedRun(tiny_config(freeze=["all"]), plugins).report
    assert report.speedup is not None
    assert report.speedup > 1
    again: Report = FinishedRun(tiny_config(freeze=["all"], run_dir=tmp_path / "again"), plugins).report
    assert again.cache.pass_seconds == report.cache.pass_seconds > 0  # what the first run's pass took
    assert again.speedup is not None
    assert (report.cache.promise, report.cache.computed) == ("exact", 24)
    assert report.cache.ceiling > 100
    assert os.listdir(Path(os.environ["FT_CACHE"]) / "features")


@needs_maps
def test_what_is_computed_once_leaves_memory_while_the_rest_trains(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}
    real = ft.training.step.learn

    def looking(*args: Any) -> Any:
        module: torch.nn.Module = args[2].module
        seen.update({name: mapped_file_at(parameter.data_ptr()) for name, parameter in module.named_parameters()})
        return real(*args)

    keys = {"freeze": ["all"], "split__test": 0.2}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", cache__promise="off", **keys), plugins)
    monkeypatch.setattr(ft.training.loop, "learn", looking)
    cached = FinishedRun(tiny_config(run_dir=tmp_path / "cached", cache__promise="exact", **keys), plugins)
    assert {name for name, file in seen.items() if file.endswith("frozen.safetensors")} == {
        name for name in seen if not name.startswith("fc")
    }
    assert cached.report.test == plain.report.test
    assert_same_outcome(plain, cached)
