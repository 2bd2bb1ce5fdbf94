"""The tracker `tensorboard`, with the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ft.testing import told_by_run
from ft_trackers.tensorboard import Settings, track

pytest.importorskip("tensorboard", reason="tensorboard is not installed; pip install 'ftkit[tensorboard]'")
pytestmark = pytest.mark.filterwarnings("default")  # of the library's own


def tell(folder: Path, **told: Any) -> None:
    listen = track(Settings())
    for event in told_by_run(folder, **told):
        listen(event)


def curves(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    return read


def test_figures_config_and_report_are_there(tmp_path: Path) -> None:
    tell(tmp_path)
    read = curves(tmp_path)
    assert [(each.step, each.value) for each in read.Scalars("loss/train")] == [(1, 2.0), (2, 1.0)]
    assert {"loss/val", "accuracy/train", "accuracy/val", "macro_f1/val", "lr"} <= set(read.Tags()["scalars"])
    (config,) = read.Tensors("config/text_summary")
    assert b'"epochs": 2' in config.tensor_proto.string_val[0]
    assert read.Tensors("report.json/text_summary")


@pytest.mark.parametrize("begun", [True, False], ids=["from the start", "from the middle"])
def test_a_run_that_goes_on_has_each_epoch_once(begun: bool, tmp_path: Path) -> None:
    if begun:
        tell(tmp_path, fails=True)
    tell(tmp_path, before=1)
    assert [each.step for each in curves(tmp_path).Scalars("loss/val")] == [1, 2, 3]
