"""The phases of a run, one after the other: each is decided once the one before it is over, and begins with its best
weights."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ft.config.phases import said_by, spelt_out
from ft.config.training import idle_with
from ft.deciding import Prepared, decide
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.machine.files import explained, publish_text
from ft.machine.randomness import seed_all
from ft.opening import Opened
from ft.plan.records import Place, Plan
from ft.run.budget import budget_of, note_left_out
from ft.run.folder import Run
from ft.run.phases import best_state, note_begun, standing
from ft.run.records import PhaseBegun
from ft.run.resuming import hand_over, statistics_set_free
from ft.text.documents import as_yaml
from ft.text.redaction import without_secrets
from ft.tracking.events import PhaseStarted
from ft.tracking.listener import Listener


def where_it_stands(opened: Opened, plugins: Plugins, stopped: Run | None) -> Opened:
    """A run that was opened, at the phase in which it stopped, or at its first one. Raises FtError where a phase that
    has begun was asked for otherwise."""
    if not opened.whole.phases:
        return opened
    asked = [said_by(phase) for phase, _ in opened.phases(plugins)]
    return opened.at(standing(stopped, asked), plugins)


def each_phase(
    ready: Prepared, run: Run, plugins: Plugins, versions: Mapping[str, Any], display: Display, tell: Listener
) -> Iterator[Prepared]:
    """Yield the phase that is `ready`, and then, once the one before it is over, each that is left, decided anew for
    the network as it is trained by now."""
    yield ready
    while ready.plan.place.number < ready.plan.place.of and not _out_of_time(ready, run, display):
        ready = _next(ready, run, plugins, versions, display, tell)
        yield ready


def planned_phases(ready: Prepared, plugins: Plugins, display: Display) -> Iterator[Plan]:
    """Yield the plan of the phase that is `ready`, and then those of the ones after it, as they are where each takes
    all of its epochs."""
    yield ready.plan
    while ready.plan.place.number < ready.plan.place.of:
        place, stood = ready.plan.place, ready.plan.frozen_modules
        opened = ready.opened.at(Place(place.number + 1, place.of, ready.plan.epochs), plugins)
        ready = decide(opened, plugins, display, None)
        freed = statistics_set_free(stood, ready.model.module)
        yield replace(ready.plan, warnings=(*ready.plan.warnings, *freed))


def write_phases(file: Path, ready: Prepared, plugins: Plugins) -> None:
    """Write a config in which every phase says all that it may say, to be edited; a run without phases is one of one.

    Raises FtError where there is such a file: somebody may have edited it.
    """
    if file.exists():
        raise FtError(f"{file} is there already, and may have been edited; write another --plan-out, or remove it")
    config = ready.opened.whole
    phases = [(phase, idle_with(optimizer.record)) for phase, optimizer in ready.opened.phases(plugins)]
    tree = spelt_out(config, phases)
    with explained(file):
        publish_text(file, as_yaml(without_secrets(tree)))


def note_phase(run: Run, ready: Prepared, anew: bool = False) -> None:
    """Put on record what the phase that begins is asked for, and what is frozen in it."""
    plan = ready.plan
    if ready.opened.whole.phases:
        begun = PhaseBegun(
            asked=said_by(ready.opened.config),
            begins=plan.place.begins,
            plan_digest=plan.digest(),
            trainable_parameters=plan.trainable_numel,
            frozen_parameters=plan.frozen_numel,
            frozen_digest_before=ready.frozen_digest(),
        )
        note_begun(run, plan.place, begun, anew)


def _out_of_time(ready: Prepared, run: Run, display: Display) -> bool:
    """Whether the phases that are left are left out, since not even an epoch of the next one fits into the run's time;
    that is then said, and on record. It is no question where the budget was decided in an earlier process."""
    clock, place = ready.opened.clock, ready.plan.place
    if clock is None or time.monotonic() + clock.phases[place.number].least <= clock.ends_by(place.number + 1):
        return False
    which = "phase" if place.of == place.number + 1 else f"phases {place.number + 1} to"
    why = f"{which} {place.of} left out, as the run took longer than was measured"
    note_left_out(run, place.number, why)
    display.warn(f"{why}: its time budget is over")
    return True


def _next(
    before: Prepared, run: Run, plugins: Plugins, versions: Mapping[str, Any], display: Display, tell: Listener
) -> Prepared:
    config, module, place = before.config, before.model.module, before.plan.place
    name, state = best_state(run, before.data.task.figure(config.training.monitor))
    run.load_checkpoint(name, module, to_use=True)
    done = run.read_checkpoint("last").position.epoch
    seed_all(config.seed)  # for whatever plugins draw while they decide, as where a run goes on
    whole = before.whole.model_copy(update={"time_budget": budget_of(run)})
    opened = replace(before.opened, has_weights=True, whole=whole)
    ready = decide(opened.at(Place(place.number + 1, place.of, done), plugins), plugins, display, run)
    if ready.config.training.optimizer != config.training.optimizer:
        state = replace(state, optimizer={})  # what one keeps, another cannot read
    note_phase(run, ready, anew=True)
    position = hand_over(run, module, ready.ahead(versions), state, display)
    (run.path / "phase.pt").unlink(missing_ok=True)
    tell(PhaseStarted(position.phases[-1], ready.plan))
    return ready
