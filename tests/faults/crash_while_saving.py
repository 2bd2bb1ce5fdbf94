"""End a process after every single file operation of a save; a program of its own, which forks.

    python crash_while_saving.py FOLDER STEP

Prints how often it was ended: after each STEPth operation. Fails when afterwards a file is neither what it was nor
what it was to become.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from forked import fork
from ft.run.checkpoints import Checkpoint, load_checkpoint
from ft.run.folder import Run
from ft.run.position import Phase, Position

CRASHED = 9


class Countdown:
    """Ends the process after so many file operations."""

    def __init__(self, operations: int) -> None:
        self.left = operations

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self.left -= 1
            if self.left == 0:
                os._exit(CRASHED)
            return result

        return counted


def crash_after(operations: int, of_a_file: Sequence[str] = ("write", "flush", "close")) -> None:
    """From now on every open, write, fsync, close, replace and unlink counts, and the last one ends the process."""
    countdown = Countdown(operations)
    plain_open = io.open

    def opened(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if mode != "x+b":
            return plain_open(path, mode, *args, **kwargs)
        file = plain_open(path, mode, buffering=0)  # each write reaches the disk, as after a full buffer
        return Counted(file, countdown, of_a_file)

    io.open = countdown.after(opened)
    for name in ("open", "fsync", "close", "replace", "unlink", "mkdir"):
        setattr(os, name, countdown.after(getattr(os, name)))


class Counted:
    def __init__(self, file: Any, countdown: Countdown, counted: Sequence[str]) -> None:
        for name in ("write", "flush", "close", "seek", "tell", "read", "readinto", "fileno"):
            method = getattr(file, name)
            setattr(self, name, countdown.after(method) if name in counted else method)


def module(value: float) -> nn.Module:
    made = nn.Sequential(nn.Linear(50, 20), nn.Linear(20, 3))
    for parameter in made.parameters():
        nn.init.constant_(parameter, value)
    return made


def position_after(epochs: int) -> Position:
    """The position of a run that has finished so many epochs."""
    position = Position(phases=[Phase(0, 0, [], [], epochs, 0.1, 0.1, 1.0, 0.0)])
    for _ in range(epochs):
        position.finish_step(1.0, 2, 0.1)
        position.finish_epoch(0.1, {"loss": 0.5, "accuracy": 1.0}, 0.1)
    return position


def checkpoint(value: int) -> Checkpoint:
    head = {name: tensor for name, tensor in module(value).state_dict().items() if name.startswith("1.")}
    return Checkpoint(position_after(value), head, {name: {"exp_avg": tensor} for name, tensor in head.items()}, "plan")


def save_all(run: Run, value: int) -> None:
    """What a run saves in its last epoch, and after it."""
    run.save_checkpoint("best", checkpoint(value))
    run.save_checkpoint("last", checkpoint(value))
    run.log(Position())
    run.save_model(module(value))
    run.write_json("report.json", {"value": value})


def check(run: Run, old: int, new: int) -> None:
    """Everything is there: the state is the old or the new one, and frozen tensors come from one of two files."""
    for name in ("best", "last"):
        found = load_checkpoint(run.path / f"{name}.pt")
        assert found.position.epoch in (old, new)
        assert all(bool((tensor == found.position.epoch).all()) for tensor in found.tensors.values())
    empty = module(-1)
    run.restore(empty)
    assert not any(bool((tensor == -1).any()) for tensor in empty.state_dict().values())


def main(folder: Path, step: int) -> int:
    for crashes in itertools.count():
        run = Run(folder / str(crashes))
        run.path.mkdir()
        run.save_checkpoint("best", checkpoint(1))
        run.save_checkpoint("last", checkpoint(1))
        run.keep_frozen(module(1), {"1.weight": torch.empty(0), "1.bias": torch.empty(0)})
        pid = fork()
        if pid == 0:
            crash_after(crashes * step + 1)
            save_all(run, 2)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        check(run, 1, 2)
        run.sweep()
        assert not list(run.path.glob(".*")), "what a killed writer left is taken away"
        if code == 0:
            return crashes
        assert code == CRASHED
    raise AssertionError("it counts for ever")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(main(Path(sys.argv[1]), int(sys.argv[2])))
