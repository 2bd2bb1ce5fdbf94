"""What the phases of a config come to."""

from __future__ import annotations

from typing import Any

import pytest

from ft.config.loading import load_config
from ft.config.phases import configs_of, said_by, spelt_out
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.references import parse_reference

TWO: list[dict[str, Any]] = [{"freeze": "all", "epochs": 3}, {"epochs": 5, "lr": 1e-5, "patience": None}]


def config(phases: list[dict[str, Any]] = TWO, **keys: Any) -> Config:
    return load_config({"backbone": "torchvision:resnet18", "phases": phases, **keys})


def test_what_a_phase_does_not_say_is_as_the_config_says() -> None:
    first, second = configs_of(
        config(freeze="depth:2", train="until:stem", training={"patience": 4, "lr": 0.1}, images={"views": 3})
    )
    assert ([each.use for each in first.freeze], first.train) == (["all"], ())
    assert [each.use for each in (*second.freeze, *second.train)] == ["depth:2", "until:stem"]
    assert (first.training.epochs, first.training.patience, first.training.lr) == (3, 4, 0.1)
    assert (second.training.epochs, second.training.patience, second.training.lr) == (5, None, 1e-5)
    assert first.images.views == second.images.views == 3


def test_a_config_without_phases_is_that_of_its_only_one_and_says_nothing_of_phases() -> None:
    plain = config([])
    assert configs_of(plain) == (plain,)
    assert "phases" not in plain.model_dump()


def test_rates_follow_from_the_optimizer_of_the_phase(plugins: Plugins) -> None:
    """Those of the config may have followed from its own, as in the config of a finished run."""
    training = {"optimizer": "sgd", "lr": 0.001, "head_lr": 0.01, "derived": ["lr", "head_lr"]}
    (phase,) = configs_of(config([{"optimizer": "adamw"}], training=training))
    adamw = plugins.get("optimizer", parse_reference("adamw")).record
    assert phase.training.of(adamw).lr == adamw.lr


def test_a_config_goes_to_text_and_back_with_what_is_said_and_no_more() -> None:
    phases = [*TWO, {}, {"freeze": [], "optimizer": {"use": "sgd", "momentum": 0.5}}]
    given = config(phases)
    dumped = given.model_dump(mode="json")["phases"]
    assert dumped == [{**TWO[0], "freeze": ["all"]}, *phases[1:]]
    assert load_config(given.model_dump(mode="json")) == given


def test_written_out_every_phase_says_everything() -> None:
    given = config(training={"lr_decay": 0.5, "batch_size": 8}, machine={"resolved": "fp32"})
    first, second = configs_of(given)
    tree = spelt_out(given, [(first, ()), (second, ())])
    assert {key: tree[key] for key in tree if key != "phases"} == {
        "backbone": "torchvision:resnet18",
        "training": {"batch_size": 8},
    }
    assert [each["lr_decay"] for each in tree["phases"]] == [0.5, 0.5]
    assert [said_by(each) for each in configs_of(load_config(tree))] == tree["phases"]
    without = spelt_out(given, [(first, ("epochs",)), (second, ())])["phases"]
    assert ["epochs" in each for each in without] == [False, True]


@pytest.mark.parametrize(
    ("sets", "flags", "message"),
    [
        (
            ["training.epochs=4"],
            {},
            r"--set training.epochs=4: it would change nothing.*--set phases\.0\.epochs=\.\.\.",
        ),
        ([], {"training.epochs": 4}, r"training.epochs: it would change nothing"),
        (["training={epochs: 4}"], {}, r"every phase says its own 'epochs'"),
        (["phases.0.epoch=4"], {}, r"unknown setting 'phases.0.epoch'. Did you mean 'epochs'"),
        (["phases.2.epochs=4"], {}, r"phases has 2 items"),
        (["phases.0.epochs=0"], {}, r"setting 'phases.0.epochs' cannot be 0"),
        (["phases.0.batch_size=4"], {}, r"unknown setting 'phases.0.batch_size'"),
        (["phases=4"], {}, r"setting 'phases' cannot be 4: it takes a list"),
    ],
)
def test_what_cannot_be_is_said(sets: list[str], flags: dict[str, Any], message: str) -> None:
    tree = {"backbone": "torchvision:resnet18", "phases": TWO}
    with pytest.raises(FtError, match=message):
        load_config(tree, sets, flags)


def test_a_flag_reaches_the_phases_that_say_nothing_else_and_set_reaches_one() -> None:
    tree = {"backbone": "torchvision:resnet18", "phases": TWO}
    first, second = configs_of(load_config(tree, ["phases.0.lr=0.5"], {"freeze": ["depth:1"], "training.patience": 2}))
    assert (first.training.lr, first.training.patience, first.freeze[0].use) == (0.5, 2, "all")
    assert (second.training.patience, second.freeze[0].use) == (None, "depth:1")


def test_components_of_phases_are_named_with_their_place() -> None:
    named = {(each.kind.name, each.place, each.part.use) for each in config().named() if "phases" in each.place}
    assert named == {("freeze", "phases.0.freeze", "all")}
