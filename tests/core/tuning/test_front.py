"""`ft.sweep`, for people who write Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ft
from conftest import TINY
from ft.errors import FtError

KEYS: dict[str, Any] = {
    "backbone": f"{TINY}:small",
    "weights": "none",
    "data": {"use": "demo", "images_per_class": 6, "size": 32},
    "image_size": 16,
    "workers": 0,
    "precision": "fp32",
    "device": "cpu",
    "epochs": 1,
    "report": {"html": False},
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_sweep_is_handed_over_as_trials_and_folders_of_runs(capsys: pytest.CaptureFixture[str]) -> None:
    over = {"lr": {"low": 0.01, "high": 0.1, "log": True}, "freeze": ["all", "nonsense"]}
    found = ft.sweep(KEYS, over=over, sampler="random", seed=3, trials=3, run_dir="s")
    assert capsys.readouterr().out == ""
    assert [each.number for each in found.trials] == [0, 1, 2]
    assert {each.state for each in found.trials} == {"done", "failed"}
    assert all(each.why.startswith("no freezing strategy") for each in found.trials if each.state == "failed")
    assert found.best == Path("s").absolute() / found.ranked[0].name
    assert ft.load(found.best, trust_code=True).path == found.best
    assert "what matters" not in str(found), "three trials tell nothing"
    assert str(found).splitlines()[-1].strip() == "more        ft sweep --join s --trials 6 --trust-code"
    further = ft.sweep(resume="s", trials=4, trust_code=True)
    assert [each.number for each in further.trials] == [0, 1, 2, 3]
    assert further.trials[:3] == found.trials


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"over": {"lr": [1]}}, "one value is nothing to choose from"),
        ({"over": {"lr": {"low": 1}}}, "a range is a mapping as"),
        ({"over": {"lr": [1, 2]}, "lr": 3}, "are the same key"),
        ({"resume": "s", "over": {"lr": [1, 2]}}, "leave out over"),
        ({"over": {"lr": [1, 2]}, "trial": 3}, "unknown keyword 'trial'"),
    ],
)
def test_a_mistake_is_one_message(keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(FtError, match=said):
        ft.sweep(**(keywords if "resume" in keywords else {**KEYS, **keywords}))
