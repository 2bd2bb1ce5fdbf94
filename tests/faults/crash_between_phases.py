"""End a process after every file operation with which a run passes from one phase to the next, and within phases; a
program of its own, which forks.

    python crash_between_phases.py FOLDER STEP

Prints how often it was ended: after each STEPth operation between two phases but writes, which crash_while_saving.py
tries, and by SIGKILL in each phase. Fails when a run that was ended there and goes on does not end in the state of one
that was not.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from conftest import TINY
from faults.crash_while_changing_freeze import check_equal
from faults.crash_while_saving import CRASHED, crash_after
from finished_runs import metrics_in
from forked import fork
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.installed import load_plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.run.folder import Run
from signal_at_progress import SignalAtProgress

PLUGINS = load_plugins()
PHASES = [
    {"freeze": "all", "epochs": 2, "head_lr": 0.01},
    {"freeze": "all", "train": "regex:layer2.*", "epochs": 2, "lr": 0.01},
    {"freeze": "until:stem", "epochs": 2, "lr": 1.0, "warmup_epochs": 0},  # whose best epoch is not the run's
    {"freeze": "all", "epochs": 1},
]
KILLED = (("epoch 2/2", 4), ("epoch 3/4", 5), ("epoch 4/4", 8), ("epoch 6/6", 11), ("epoch 7/7", 13))
"""Steps after which a process is killed: in every phase."""


def config(folder: Path) -> Config:
    return load_config(
        {
            "backbone": f"{TINY}:small",
            "weights": "none",
            "data": {"use": "demo", "images_per_class": 3, "size": 32},
            "images": {"size": 16},
            "machine": {"precision": "fp32", "device": "cpu", "workers": 0},
            "training": {"batch_size": 4},
            "run_dir": str(folder),
            "phases": PHASES,
        }
    )


def in_process(act: Callable[[], Any]) -> int:
    """Act in a process of its own; return how that ended: its exit code, or a signal's number below 0."""
    pid = fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def crash(folder: Path, border: int, operations: int, display: Display) -> int:
    """Run as far as the end of a phase, and from there on for so many operations; 0 when the next phase needs no more
    to begin."""
    ended = 0

    def over(*args: Any) -> None:
        nonlocal ended
        ended += 1
        if ended == border:
            crash_after(operations, of_a_file=("close",))
        note_ended(*args)

    def begins(*args: Any) -> Any:
        if ended == border:
            os._exit(0)
        return open_feed(*args)

    straight_path = vars(sys.modules["ft.finetune"])
    note_ended, open_feed = straight_path["note_ended"], straight_path["open_feed"]

    def act() -> None:
        straight_path.update(note_ended=over, open_feed=begins)
        finetune(config(folder), PLUGINS, display)
        os._exit(1)

    return in_process(act)


def killed(run: Run, display: Display) -> bool:
    return in_process(lambda: finetune(config(run.path), PLUGINS, display)) == -signal.SIGKILL


def check(run: Run, whole: Run, display: Display) -> None:
    assert in_process(lambda: finetune(run.config(True), PLUGINS, display, run)) == 0
    check_equal(run, whole)
    assert metrics_in(run.path) == metrics_in(whole.path)
    assert run.read_json("phases.json") == whole.read_json("phases.json")


def main(folder: Path, step: int) -> int:
    crashes = 0
    with open(os.devnull, "w") as nowhere:
        display = Display(Console(file=nowhere), Console(file=nowhere))
        whole = Run(folder / "whole")
        assert in_process(lambda: finetune(config(whole.path), PLUGINS, display)) == 0
        assert whole.read_json("report.json")["best_epoch"] <= 4, (
            "the third phase hands over what is not the best of the run"
        )
        for title, done in KILLED[:: 1 if step == 1 else 4]:
            run = Run(folder / f"killed-{done}")
            assert killed(run, SignalAtProgress(title, done, signal.SIGKILL))
            check(run, whole, display)
            crashes += 1
        for border in range(1, len(PHASES)) if step == 1 else [3]:
            for number in itertools.count():
                path = folder / f"border-{border}-{number}"
                code = crash(path, border, number * step + 1, display)
                assert code in (0, CRASHED), code
                check(Run(path), whole, display)
                if code == 0:
                    break
                crashes += 1
    return crashes


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(main(Path(sys.argv[1]), int(sys.argv[2])))
