"""What became of a run's time budget, on record in its config.yaml, by which it goes on and is repeated."""

from __future__ import annotations

from typing import Any

from ft.config.budget import BudgetConfig
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.plan.budget import Clock
from ft.run.folder import Run


def budget_of(run: Run) -> BudgetConfig | None:
    """The time budget of a run, as far as it has come; None where it has none."""
    return _config(run).time_budget


def note_early_end(run: Run, number: int, epoch: int) -> None:
    """Put on record that the phase of that number, from 1, ended after so many epochs of the run, since its time was
    over. A run that goes on, or is repeated, ends it there."""
    config, budget = _config(run), budget_of(run)
    assert budget is not None, "no phase ends early without a budget"
    _write(run, config, budget.model_copy(update={"ended": {**budget.ended, number: epoch}}))


def note_left_out(run: Run, number: int, why: str) -> Config:
    """Put on record that the run ends with the phase of that number, from 1, for lack of time; return its config."""
    config, budget = _config(run), budget_of(run)
    assert budget is not None, "no phase is left out without a budget"
    decided = (*(budget.decided or ()), why)
    shorter = config.model_copy(update={"phases": config.phases[:number]})
    return _write(run, shorter, budget.model_copy(update={"decided": decided}))


def time_spent(run: Run, clock: Clock | None) -> dict[str, Any] | None:
    """What report.json says of a run's time budget; None where it has none. How long it took so far is told where it
    did so in this process, whose `clock` that is."""
    budget = budget_of(run)
    if budget is None:
        return None
    seconds = None if clock is None else round(clock.spent(), 1)
    return {"asked": budget.asked, "cut": list(budget.decided or ()), "ended": dict(budget.ended), "seconds": seconds}


def _config(run: Run) -> Config:
    return load_config(run.path / "config.yaml")


def _write(run: Run, config: Config, budget: BudgetConfig) -> Config:
    changed = config.model_copy(update={"time_budget": budget})
    run.write_config(changed)
    return changed
