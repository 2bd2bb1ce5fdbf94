"""Kill a run of ft again and again and resume it; a program of its own, which forks, so that imports cost once.

    python kill_and_resume.py KILLS FOLDER

Prints what it did as JSON. Fails when a checkpoint cannot be read, training fell back, or weights differ in a bit.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from safetensors.torch import load_file

from conftest import TINY
from forked import fork
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.installed import load_plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.checkpoints import load_checkpoint
from ft.run.folder import Run

EPOCHS = 40
NAMES = ("last", "best")
AVERAGED = {"training.ema": 0.9, "training.soup": 4}
"""So that there is more to lose: averages over steps, and the weights of epochs that are averaged at the end."""


def config(folder: Path) -> Config:
    return load_config(
        flags={
            "backbone": f"{TINY}:small",
            "weights": "none",
            "freeze": ["until:stem"],
            "data": {"use": "demo", "images_per_class": 3, "size": 32},
            "images.size": 16,
            "machine.precision": "fp32",
            "machine.device": "cpu",
            "machine.workers": 0,
            "training.epochs": EPOCHS,
            "training.batch_size": 4,
            **AVERAGED,
            "run_dir": folder,
        }
    )


def start(folder: Path) -> int:
    """Start or resume a run in a process of its own; it exits with 0 when the run is finished."""
    pid = fork()
    if pid:
        return pid
    try:
        run = Run(folder) if (folder / "config.yaml").exists() else None
        with open(os.devnull, "w") as nowhere:
            display = Display(Console(file=nowhere), Console(file=nowhere))
            finetune(run.config(trust_code=True) if run else config(folder), load_plugins(), display, run)
        os._exit(0)
    except StopAsked:
        os._exit(3)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def exit_code(pid: int, within: float) -> int | None:
    """A process's exit code, negative for a signal; None when it has not ended within so many seconds."""
    deadline = time.monotonic() + within
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.001)


def kill_at_random(pid: int, rng: random.Random) -> int | None:
    """Kill a process at a random moment, often while it saves because it was asked to stop."""
    code = exit_code(pid, rng.uniform(0.05, 1.2))
    if code is not None:
        return code
    if rng.random() < 0.5:
        os.kill(pid, signal.SIGTERM)
        code = exit_code(pid, rng.uniform(0, 0.02))
    if code is None:
        os.kill(pid, signal.SIGKILL)
        code = exit_code(pid, 60)
    return code


def main(wanted: int, folder: Path) -> dict[str, int]:
    rng = random.Random(0)
    assert exit_code(start(folder / "whole"), 600) == 0
    whole = load_file(folder / "whole" / "model.safetensors")
    counts = {"kills": 0, "stops": 0, "left behind": 0, "checkpoints read": 0, "runs finished": 0, "runs equal": 0}
    number, reached = 0, (0, 0)
    while counts["kills"] < wanted or reached != (0, 0) or not counts["runs finished"]:
        path = folder / str(number)
        pid = start(path)
        code = kill_at_random(pid, rng) if counts["kills"] < wanted else exit_code(pid, 600)
        assert code in (0, 3, -signal.SIGTERM, -signal.SIGKILL), code  # SIGTERM ends it before there is a run
        counts["kills"] += code == -signal.SIGKILL
        counts["stops"] += code == 3
        for name in NAMES:
            if (path / f"{name}.pt").exists():
                position = load_checkpoint(path / f"{name}.pt").position
                counts["checkpoints read"] += 1
                if name == "last":
                    assert (position.epoch, position.step) >= reached, "a checkpoint was lost"
                    reached = position.epoch, position.step
        if code == 0:
            model = load_file(path / "model.safetensors")
            assert model.keys() == whole.keys()
            counts["runs finished"] += 1
            counts["runs equal"] += all(torch.equal(model[name], whole[name]) for name in whole)
            counts["left behind"] += len([*path.glob(".*"), *path.glob("epoch-*")])
            number, reached = number + 1, (0, 0)
        elif not (path / "config.yaml").exists():
            number, reached = number + 1, (0, 0)  # killed before there was a run
    return counts


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(main(int(sys.argv[1]), Path(sys.argv[2]))))
