"""End a process after every file operation with which a run changes its freeze; a program of its own, which forks.

    python crash_while_changing_freeze.py FOLDER STEP

Prints how often it was ended: after each STEPth operation but writes, which crash_while_saving.py tries. Fails when a
run that was ended there and goes on, with the flags said again or without, does not end in the state of one that was
not.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import load_file

from conftest import TINY
from faults.crash_while_saving import CRASHED, crash_after
from forked import fork
from ft import beginning
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.installed import load_plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.run.resuming import go_on
from signal_at_progress import SignalAtProgress

PLUGINS = load_plugins()
UNFREEZE: Mapping[str, Any] = {"freeze": ["all"], "train": ["regex:layer2.*"], "training.epochs": 4}
FREEZE: Mapping[str, Any] = {"freeze": ["all"], "train": [], "training.epochs": 5}


def config(folder: Path) -> Config:
    keys = {"images.size": 16, "machine.precision": "fp32", "machine.device": "cpu", "machine.workers": 0}
    data = {"use": "demo", "images_per_class": 3, "size": 32}
    training = {"epochs": 2, "batch_size": 4, "lr": 0.01}
    return load_config(
        flags={"backbone": f"{TINY}:small", "weights": "none", "freeze": ["all"], "data": data, "run_dir": folder}
        | {"training": training}
        | keys
    )


def resume(run: Run, flags: Mapping[str, Any], display: Display) -> None:
    finetune(run.config(True, flags), PLUGINS, display, run)


def runs_to_change(folder: Path, display: Display) -> Iterator[tuple[Run, Mapping[str, Any]]]:
    """A finished run, one that was stopped in an epoch, and one that was changed before; and what to change."""
    finished = Run(folder / "finished")
    finetune(config(finished.path), PLUGINS, display)
    yield finished, UNFREEZE
    stopped = Run(folder / "stopped")
    try:
        finetune(config(stopped.path), PLUGINS, SignalAtProgress("epoch 2/2", 3))
    except StopAsked:
        yield stopped, UNFREEZE
    changed = copy(finished, folder / "changed")
    resume(changed, UNFREEZE, display)
    yield changed, FREEZE


def copy(run: Run, path: Path) -> Run:
    return Run(Path(shutil.copytree(run.path, path)))


def crash(run: Run, flags: Mapping[str, Any], operations: int, display: Display) -> int:
    """Change a run in a process of its own that ends after so many operations; 0 when the change needs no more."""
    pid = fork()
    if pid == 0:

        def counted(*args: Any) -> None:
            crash_after(operations, of_a_file=("close",))
            go_on(*args)
            os._exit(0)

        vars(beginning)["go_on"] = counted
        resume(run, flags, display)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def states(run: Run) -> Iterator[Mapping[str, torch.Tensor]]:
    yield load_file(run.path / "model.safetensors")
    yield {**load_file(run.frozen_file()), **run.read_checkpoint("last").tensors}


def check_equal(one: Run, other: Run) -> None:
    for ours, theirs in zip(states(one), states(other), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert one.read_json("plan.json")["phases"] == other.read_json("plan.json")["phases"]
    assert not list(one.path.glob(".*")), "what a killed writer left is taken away"


def main(folder: Path, step: int) -> int:
    crashes = 0
    with open(os.devnull, "w") as nowhere:
        display = Display(Console(file=nowhere), Console(file=nowhere))
        for began, flags in runs_to_change(folder, display):
            before = (began.path / "config.yaml").read_bytes()
            whole = copy(began, folder / f"{began.path.name}-whole")
            resume(whole, flags, display)
            for number in itertools.count():
                run = copy(began, folder / f"{began.path.name}-{number}")
                code = crash(run, flags, number * step + 1, display)
                assert code in (0, CRASHED), code
                if began.path.name != "stopped" or (run.path / "config.yaml").read_bytes() != before:
                    resume(run, {}, display)
                resume(run, flags, display)
                check_equal(run, whole)
                if code == 0:
                    break
                crashes += 1
    return crashes


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(main(Path(sys.argv[1]), int(sys.argv[2])))
