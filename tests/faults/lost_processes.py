"""`ft` in one of several processes, which gets a signal where it comes to a certain place.

lost_processes.py SIGNAL RANK PLACE ARGUMENTS...
"""

from __future__ import annotations

import os
import sys

import ft.machine.joining
import ft.run.folder
from ft.cli import main

number, rank, place = int(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.argv[1:] = sys.argv[4:]
doing, saving = ft.machine.joining.Several.doing, ft.run.folder.save_checkpoint


def at(where: str) -> None:
    if os.environ["RANK"] == rank and where.startswith(place):
        os.kill(os.getpid(), number)


def do(self: ft.machine.joining.Several, what: str) -> None:
    doing(self, what)
    at(what)


def save(path: object, checkpoint: object) -> None:
    at("saving")
    saving(path, checkpoint)  # type: ignore[arg-type]


ft.machine.joining.Several.doing = do  # type: ignore[method-assign]
ft.run.folder.save_checkpoint = save  # type: ignore[assignment]
at("starting")
main()
