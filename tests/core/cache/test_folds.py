"""What is computed once is computed once for all folds."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from finished_runs import FinishedRun, assert_same_outcome
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import prepare
from ft.machine.display import Display

MakeConfig = Callable[..., Config]


@pytest.mark.parametrize("promise", ["close", "exact"])
def test_no_image_is_decoded_and_no_feature_computed_twice_in_all_folds(
    promise: str,
    tiny_config: MakeConfig,
    plugins: Plugins,
    decoded: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """24 images in three folds: 16 train and 8 validate, in whole batches of 8."""
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    keys = {"freeze": ["all"], "split__folds": 3}
    runs = [
        FinishedRun(
            tiny_config(**keys, split__fold=fold, cache__promise=promise, run_dir=tmp_path / f"{fold}"), plugins
        )
        for fold in (1, 2, 3)
    ]
    assert [run.report.cache.computed for run in runs] == [24, 0, 0]
    assert sorted(Counter(decoded).values()) == [1] * 24
    assert Counter(path for run in runs for path in run.validated) == Counter(decoded)
    if promise == "exact":
        plain = tiny_config(**keys, split__fold=2, cache__promise="off", run_dir=tmp_path / "plain")
        assert_same_outcome(FinishedRun(plain, plugins), runs[1])


def test_what_a_plan_checked_beforehand_is_decoded_once_more_and_never_again(
    tiny_config: MakeConfig, plugins: Plugins, decoded: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof of each fold looks at training images, and those of the second fold validated in the first."""
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    keys = {"freeze": ["all"], "split__folds": 2, "cache__promise": "exact"}
    prepare(tiny_config(**keys), plugins, Display())
    old = time.time() - 60
    for path in decoded:
        os.utime(path, (old, old))
    prepare(tiny_config(**keys), plugins, Display())
    decoded.clear()
    for fold in (1, 2):
        FinishedRun(tiny_config(**keys, split__fold=fold, run_dir=tmp_path / f"{fold}"), plugins)
    assert sorted(Counter(decoded).values()) == [1] * 24
