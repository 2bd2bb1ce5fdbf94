"""A phase that ends before its last epoch, since the run's time is over."""

from __future__ import annotations

import time

from ft.job import Job
from ft.plan.records import Plan
from ft.run.budget import note_early_end
from ft.run.folder import Run
from ft.run.position import Position
from ft.text.counting import number_of


def last_epoch(plan: Plan, job: Job) -> int:
    """The epoch of the run after which the phase ends: the plan's, or the one after which it is known to have ended."""
    budget = job.config.time_budget
    return plan.epochs if budget is None else min(plan.epochs, budget.ended.get(plan.place.number, plan.epochs))


def ends_early(position: Position, plan: Plan, job: Job, run: Run) -> bool:
    """Whether another epoch that takes as long as the last one would end after the phase's time; that is then said, and
    on record. It is no question where the budget was decided in an earlier process: a run that goes on does not depend
    on how fast it is by then. Of several processes the first one's clock counts."""
    if job.config.time_budget is None or position.epoch >= last_epoch(plan, job):
        return False
    late = job.ends_by is not None and time.monotonic() + position.in_phase[-1].seconds > job.ends_by
    if job.processes.summed(late and job.processes.is_first) == [0]:
        return False
    note_early_end(run, plan.place.number, position.epoch)
    left = number_of(plan.epochs - position.epoch, "epoch")
    phase = f"{plan.place} ends" if plan.place.of > 1 else "the run ends"
    job.display.warn(f"{phase} after epoch {position.epoch}, {left} early: its share of the time budget is over")
    return True
