"""How training went: figures by epoch, the learning rate, the time, and when the run was asked for something else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ft.extension.sections import Chart, Line, Note, Section
from ft.extension.tasks import Figure
from ft.reporting.finished import Finished
from ft.run.position import epochs_averaged
from ft.task.chosen import LOSS
from ft.text.counting import number_of

PENALTY = "penalty, as a power of ten"


def curves(finished: Finished) -> Section:
    """A chart of the loss, of each figure, of the learning rate and of the time, by epoch; or by penalty, where an
    optimizer solved for the head."""
    history, best = finished.history, finished.best
    solved = only_solved(history)
    count = number_of(len(history), "penalty" if solved else "epoch", "penalties" if solved else "")
    averaged = finished.report.averaged
    epochs = f"the average of {epochs_averaged(averaged)}" if averaged else f"epoch {finished.report.best_epoch}"
    saved = f"penalty {best['penalty']:g}" if solved else epochs
    seconds = sum(float(each["seconds"]) for each in history)
    lead = f"{count} in {seconds:.1f} s, of which {saved} was saved. These figures are as training saw them."
    if any("candidate_lr" in record for record in history):
        lead += (
            " Where many heads trained at once, an epoch's are those of its best head, which is not always the same."
        )
    across = PENALTY if solved else "epoch"
    charts = [_of_figure(finished, figure, across) for figure in (LOSS, *finished.task.record.figures)]
    if not solved:
        charts.append(Chart("Learning rate", across, "rate at the end of the epoch", (line_of(history, "lr"),)))
        charts.append(Chart("Time", across, "seconds", (line_of(history, "seconds"),), kind="bars"))
    return Section("Curves", (*charts, *_phases(finished)), lead)


def _of_figure(finished: Finished, figure: Figure, across: str) -> Chart:
    """A figure of validation, with a point at the epoch that was saved, and of training. What is not there comes last,
    so that each has one colour in all charts."""
    lines = (
        line_of(finished.history, f"val_{figure.name}", "validation"),
        line_of([finished.best], f"val_{figure.name}", "saved", across == PENALTY),
        line_of(finished.history, f"train_{figure.name}", "training"),
    )
    title = figure.title[:1].upper() + figure.title[1:]
    there = tuple(line for line in lines if line.points)
    return Chart(title, across, figure.title, there, y_form=".0%" if figure.form.endswith("%") else "g")


def only_solved(history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an optimizer solved for the head, and nothing was trained in epochs before or after."""
    return all(record.get("penalty") is not None for record in history)


def line_of(history: Sequence[Mapping[str, Any]], name: str, said: str = "", by_penalty: bool | None = None) -> Line:
    """What metrics.jsonl has under a name, as far as it is there and a number, by epoch or by penalty; where that is
    not given, by penalty where all of it is."""
    solved = only_solved(history) if by_penalty is None else by_penalty
    found = [record for record in history if isinstance(record.get(name), float | int)]
    points = [(_across(record, solved), record[name]) for record in found]
    return Line(said, tuple((x, float(y)) for x, y in points if math.isfinite(y)))


def _across(record: Mapping[str, Any], by_penalty: bool) -> float:
    penalty = record.get("penalty")
    return math.log10(penalty) if by_penalty and penalty else float(record["epoch"])


def _phases(finished: Finished) -> Iterator[Note]:
    """What a run was asked for anew, and from when on."""
    for before, now in pairwise(finished.phases):
        keys = ("freeze", "train", "epochs", "lr", "head_lr", "lr_decay", "weight_decay")
        changed = [f"{key} {_said(now.get(key))}" for key in keys if before.get(key) != now.get(key)]
        if changed:
            yield Note(f"After epoch {now['epoch']} the run was asked for: {', '.join(changed)}.")


def _said(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return " + ".join(str(each.get("use", each)) if isinstance(each, dict) else str(each) for each in value) or "none"
