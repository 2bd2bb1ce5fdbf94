from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backbones import SMALL_NAMES
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import prepare
from ft.machine.display import Display
from ft.plan.records import Plan

MakePlan = Callable[..., Plan]


@pytest.fixture
def make_plan(tiny_config: Callable[..., Config], plugins: Plugins) -> MakePlan:
    def make(model: str = "small", **keys: Any) -> Plan:
        return prepare(tiny_config(model, **keys), plugins, Display()).plan

    return make


def test_every_parameter_is_frozen_or_in_exactly_one_group(make_plan: MakePlan) -> None:
    plan = make_plan(freeze=["until:layer1"], train=["type:norm"], training__lr_decay=0.5)
    grouped = [name for group in plan.groups for name in group.parameters]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) | set(plan.frozen) == {*SMALL_NAMES, "fc.weight", "fc.bias"}
    assert not set(grouped) & set(plan.frozen)


def test_the_learning_rate_decays_from_the_head_to_the_input(make_plan: MakePlan) -> None:
    plan = make_plan(training__lr=1.0, training__lr_decay=0.5)
    rates = {name: group.lr for group in plan.groups for name in group.parameters}
    assert rates["fc.weight"] == 1.0
    assert (rates["layer2.0.weight"], rates["layer1.0.weight"], rates["stem.0.weight"]) == (0.5, 0.25, 0.125)


def test_the_head_can_have_a_rate_of_its_own(make_plan: MakePlan) -> None:
    plan = make_plan(training__lr=0.1, training__head_lr=0.7)
    rates = {name: group.lr for group in plan.groups for name in group.parameters}
    assert rates["fc.weight"] == rates["fc.bias"] == 0.7
    assert rates["layer2.0.weight"] == 0.1


def test_biases_and_normalisation_get_no_weight_decay(make_plan: MakePlan) -> None:
    decay = {n: g.weight_decay for g in make_plan(training__weight_decay=0.3).groups for n in g.parameters}
    assert {name for name, value in decay.items() if value} == {
        "stem.0.weight", "layer1.0.weight", "layer2.0.weight", "fc.weight",
    }  # fmt: skip


def test_groups_by_reference_override_rate_and_decay(make_plan: MakePlan) -> None:
    plan = make_plan(groups=[{"match": "regex:layer1.*", "lr": 0.5, "weight_decay": 0.25}])
    group = next(g for g in plan.groups if g.name == "regex:layer1.*")
    assert (group.lr, group.weight_decay) == (0.5, 0.25)
    assert set(group.parameters) == {"layer1.0.weight", "layer1.0.bias", "layer1.1.weight", "layer1.1.bias"}


def test_a_group_that_only_names_what_is_frozen_is_said_to_do_nothing(make_plan: MakePlan) -> None:
    with pytest.raises(FtError, match=r"group 'until:stem' .* frozen"):
        make_plan(freeze=["until:stem"], groups=[{"match": "until:stem", "lr": 0.5}])


def test_stages_tell_what_is_frozen_and_which_batchnorm_moves(make_plan: MakePlan) -> None:
    rows = {stage.name: stage for stage in make_plan(freeze=["until:layer1"]).stages}
    assert list(rows) == ["stem", "layer1", "layer2", "head"]
    assert rows["stem"].frozen_numel == rows["stem"].numel == 1 + 108 + 8
    assert (rows["stem"].batchnorm_fixed, rows["stem"].batchnorm_moving) == (1, 0)
    assert (rows["layer2"].batchnorm_fixed, rows["layer2"].batchnorm_moving) == (0, 1)
    assert rows["layer1"].rules == ("until:layer1",)
    assert rows["head"].frozen_numel == 0


def test_layers_with_statistics_that_are_in_no_stage_are_listed(make_plan: MakePlan) -> None:
    def moving(freeze: str) -> dict[str, tuple[int, int]]:
        rows = make_plan("whitened", freeze=[freeze], images__augment="none").stages
        return {row.name: (row.batchnorm_fixed, row.batchnorm_moving) for row in rows}

    rows = {"stem": (1, 0), "layer1": (1, 0), "layer2": (1, 0), "whiten": (1, 0), "extra.0": (1, 0), "last": (1, 0)}
    assert moving("all") == {**rows, "head": (0, 0)}
    assert moving("until:layer1") == {**rows, "layer2": (0, 1), "extra.0": (0, 1), "last": (0, 1), "head": (0, 0)}


def test_nothing_to_train_is_an_error(make_plan: MakePlan, tmp_path: Path) -> None:
    for label in range(10):  # as many classes as the tiny network's own classifier has
        (tmp_path / "photos" / f"c{label}").mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (16, 16), (label * 20, number, 0)).save(tmp_path / f"photos/c{label}/{number}.png")
    data = str(tmp_path / "photos")
    with pytest.raises(FtError, match="everything is frozen and the head is kept, so nothing would train"):
        make_plan(freeze=["all"], head="keep", data=data)
    assert make_plan(freeze=["until:layer1"], head="keep", data=data).head == ("fc: keeps Linear(8 → 10)",)


def test_batchnorm_that_trains_on_single_images_is_refused(make_plan: MakePlan) -> None:
    with pytest.raises(FtError, match=r"stem\.1.*--batch-size 2"):
        make_plan(training__batch_size=1)
    assert make_plan(training__batch_size=1, freeze=["all"]).steps_per_epoch == 20


def test_a_setting_that_has_no_effect_is_said(make_plan: MakePlan) -> None:
    assert any("momentum" in text for text in make_plan(training__momentum=0.5).warnings)
    assert any("random" in text for text in make_plan(freeze=["all"]).warnings)
    alone = {"head": "linear", "freeze": ["all"]}
    assert any("--head-lr" in text for text in make_plan(training__lr_decay=0.5, **alone).warnings)
    rates = {"training__lr": 0.5, "training__head_lr": 0.1}
    assert "--lr has no effect: only the head trains, and --head-lr is 0.1" in make_plan(**rates, **alone).warnings
    assert "without effect with adamw: training.penalties" in make_plan(training__penalties=(0.1,)).warnings
    views = make_plan(images__views=2, images__augment="none")
    assert "--views 2 has no effect: without augmentation all views of an image are the same" in views.warnings
    long = make_plan(training__warmup_epochs=8, training__epochs=10)
    assert "the warm-up of 8 epochs ends after 5, half of the run" in long.warnings


def test_what_is_usual_is_not_said_to_have_no_effect(make_plan: MakePlan) -> None:
    for keys in ({}, {"training__optimizer": "sgd"}, {"training__optimizer": "sgd", "freeze": ["all"]}):
        assert not any("effect" in text or "warm-up" in text for text in make_plan(**keys).warnings)


def test_the_plan_is_plain_data_and_its_digest_depends_on_what_decides(make_plan: MakePlan) -> None:
    plan = make_plan()
    json.dumps(asdict(plan))
    assert plan.digest() == make_plan().digest()
    assert plan.digest() != make_plan(training__lr=0.5).digest()
    assert plan.digest() != make_plan(freeze=["until:stem"]).digest()
