from __future__ import annotations

from ft.run.differences import Difference, differences


def test_equal_configs_differ_in_nothing_and_folders_do_not_count() -> None:
    one = {"seed": 0, "training": {"lr": 0.1}, "run_dir": "a"}
    assert differences([one, {**one, "run_dir": "b"}]) == []


def test_nested_keys_are_written_as_set_takes_them() -> None:
    found = differences([{"training": {"lr": 0.1, "epochs": 5}}, {"training": {"lr": 0.2, "epochs": 5}}])
    assert found == [Difference("training.lr", ("0.1", "0.2"))]


def test_components_differ_by_name_and_by_setting() -> None:
    first = {"freeze": [{"use": "all"}], "head": {"use": "linear"}}
    other = {"freeze": [{"use": "depth:2"}, {"use": "type:norm", "deep": True}], "head": {"use": "mlp", "hidden": 8}}
    assert differences([first, other]) == [
        Difference("freeze", ("all", "depth:2, type:norm")),
        Difference("head", ("linear", "mlp")),
        Difference("freeze.1.deep", ("-", "true")),
        Difference("head.hidden", ("-", "8")),
    ]


def test_key_that_only_one_has() -> None:
    assert differences([{}, {"task": {"use": "regression"}}, {}]) == [Difference("task", ("-", "regression", "-"))]
