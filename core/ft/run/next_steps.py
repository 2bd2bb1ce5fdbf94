"""What to do next with a finished run, each with what to type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ft.run.report import Report, longer
from ft.text.names import typed

MOST = 3
"""Steps that are said at once."""
ENOUGH = 500
"""Training images from which a stage is worth a try that a solved or trained head stands on: of 200 it made figures
worse (docs/few-images.md)."""


def next_steps(report: Report, run: Path) -> list[str]:
    """At most three steps, the most telling first."""
    return list(islice(_steps(report, run), MOST))


def _steps(report: Report, run: Path) -> Iterator[str]:
    if (run / "report.html").is_file():
        yield f"see mistakes, curves and what trained: {run / 'report.html'}"
    if (
        report.best_epoch == report.epochs
        and not report.averaged
        and not among_penalties(report.penalty, report.time_budget)
    ):
        yield more_may_be_better(report.epochs, report.penalty, bool(report.each_phase), run)
    elif (
        not report.each_phase
        and not report.tried
        and report.penalty is None
        and _head_only(report)
        and report.images["train"] >= ENOUGH
    ):
        thawed = typed(
            "ft", "run", "--resume", run, "--freeze", "depth:-1", "--epochs", report.epochs + 5, "--lr", 1e-4
        )
        yield f"see what training the last stage adds: {thawed}"


def more_may_be_better(epochs: int, penalty: float | None, in_phases: bool, run: Path) -> str:
    """What to say where the best lies at the end of what was tried: the last of the epochs, or the weakest penalty."""
    if penalty is None:
        return f"the last epoch was the best; more may be better: {longer(epochs, in_phases, run)}"
    weaker = typed("--set", f"training.optimizer.penalties=[{penalty / 10:g},{penalty / 100:g}]")
    return f"the weakest penalty was the best; weaker ones may be better: the same command with {weaker}"


def among_penalties(penalty: float | None, budget: Mapping[str, Any] | None) -> bool:
    """Whether a time budget ended the run before all penalties were tried, so that weaker ones were planned anyway."""
    return penalty is not None and bool(budget and budget.get("ended"))


def _head_only(report: Report) -> bool:
    return report.freeze == ("all",) and not report.train and not report.adapted
