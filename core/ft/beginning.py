"""How a run begins to work: in a folder of its own, watched by whoever may stop it, anew or where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ft.data.image_list import keep_image_list, write_earlier, write_image_list
from ft.data.loaders import explained_deaths
from ft.deciding import Prepared
from ft.machine.display import Display
from ft.machine.distributed import Processes
from ft.machine.memory import explained_shortage
from ft.machine.signals import StopRequest, stop_on_signals
from ft.phases import note_phase
from ft.run.checkpoints import moving_tensors
from ft.run.folder import Run, go_on_from, repeatable
from ft.run.position import Position, phase_from
from ft.run.provenance import describe_model
from ft.run.resuming import go_on, phase_begins
from ft.tracking.events import PhaseStarted, RunStarted
from ft.tracking.listener import Listener, telling


@contextmanager
def at_work(run: Run, listeners: Sequence[Listener], processes: Processes) -> Iterator[tuple[StopRequest, Listener]]:
    """A block in which a run works, that is given what asks it to stop, and whom it tells what becomes of it.

    A signal asks it to stop; memory that runs out and a loader process that dies are said with what to do.
    """
    with (
        stop_on_signals(run.path, often=not processes.alone) as stop,
        telling(listeners) as tell,
        processes.losses_explained(go_on_from(run)),
        explained_deaths(go_on_from(run)),
        explained_shortage("Try a smaller --batch-size"),
    ):
        yield stop, tell


def begin(run: Run, ready: Prepared, versions: dict[str, Any], goes_on: bool, display: Display, tell: Listener) -> None:
    """Bring the folder of a run to where its first step may be taken: a new one, or one that `goes_on`."""
    run.sweep()
    position = (_again if goes_on else _anew)(run, ready, versions, display)
    history = tuple(position.history)
    tell(RunStarted(run.path, repeatable(ready.whole), ready.plan, ready.built.notes, goes_on, history))
    if phase_begins(position):
        tell(PhaseStarted(position.phases[-1], ready.plan))


def _anew(run: Run, ready: Prepared, versions: dict[str, Any], display: Display) -> Position:
    position, plan, module = Position(phases=[phase_from(ready.config)]), ready.plan, ready.model.module
    run.write_plan(plan, position.phases)
    note_phase(run, ready, anew=True)
    write_image_list(run.path / "images.csv", ready.data)
    if ready.built.origin is not None:
        write_earlier(run.path, ready.built.origin.splits)
    run.write_model_file(describe_model(ready.config, ready.built, ready.model, ready.data, versions))
    run.keep_frozen(module, moving_tensors(module, plan.frozen, plan.frozen_modules))
    return position


def _again(run: Run, ready: Prepared, versions: dict[str, Any], display: Display) -> Position:
    position = go_on(run, ready.model.module, ready.ahead(versions), display)
    note_phase(run, ready)
    if moved := keep_image_list(run.path / "images.csv", ready.data):
        display.say(moved)
    return position
