"""What the trackers have in common that hand a run to another program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ft import FtError, RunEnded, RunFailed, RunStarted
from ft.testing import told_by_run
from ft_trackers.program import following, need, remember, remembered, variables


class Told:
    def __init__(self, known: bool) -> None:
        self.known, self.epochs, self.ended = known, list[int](), ""

    def start(self, event: RunStarted) -> bool:
        return self.known

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        assert {"train_loss", "val_loss"} <= figures.keys()
        self.epochs.append(number)

    def end(self, event: RunEnded | RunFailed) -> None:
        self.ended = type(event).__name__


@pytest.mark.parametrize(("known", "epochs"), [(True, [3, 4]), (False, [1, 2, 3, 4])])
def test_a_program_gets_each_epoch_once_also_of_before(known: bool, epochs: list[int], tmp_path: Path) -> None:
    program = Told(known)
    for event in told_by_run(tmp_path, before=2):
        following(program)(event)
    assert program.epochs == epochs
    assert program.ended == "RunEnded"


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(FtError, match=r"^--tracker ether needs ether_lib, which is not installed: pip install 'ftkit"):
        need("ether_lib", "ether")


def test_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_ONE", "before")
    with variables(FT_ONE="1", FT_TWO="2"):
        assert (os.environ["FT_ONE"], os.environ["FT_TWO"]) == ("1", "2")
    assert os.environ["FT_ONE"] == "before"
    assert "FT_TWO" not in os.environ


def test_the_name_there_is_remembered(tmp_path: Path) -> None:
    assert remembered(tmp_path) is None
    remember(tmp_path, "abc")
    assert remembered(tmp_path) == "abc"
