"""Heads that trained side by side, as the page of a run shows them: a figure by learning rate, and a table of all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ft.extension.records import Candidate
from ft.extension.sections import Chart, Line, Section
from ft.extension.tasks import Figure, Table
from ft.reporting.finished import Finished
from ft.run.candidates import ranked, won
from ft.run.position import Tried


def candidates(finished: Finished) -> Iterator[Section]:
    """The section of all candidates; none where no heads trained side by side."""
    report = finished.report.model_dump()
    tried = [_read(each) for each in report.get("candidates", ())]
    if not tried:
        return
    figure = finished.task.figure(report.get("monitor"))
    by_decay: dict[float, dict[float, float]] = {}
    for each in reversed(ranked(tried, figure)):  # of several seeds the best one is what stays
        if each.val:
            by_decay.setdefault(each.candidate.weight_decay, {})[each.candidate.lr] = each.val[figure.name]
    lines = tuple(
        Line(f"weight decay {decay:g}", tuple((math.log10(lr), value) for lr, value in sorted(some.items())))
        for decay, some in sorted(by_decay.items())
    )
    form = ".0%" if figure.form.endswith("%") else "g"
    chart = Chart("By learning rate", "learning rate, as a power of ten", figure.title, lines, y_form=form)
    lead = (
        f"The best: {won(tried, figure)}. Each is told at its best epoch, as training saw it; the best one was saved."
    )
    yield Section("Candidates", (chart, _table(tried, figure)), lead)


def _table(tried: list[Tried], figure: Figure) -> Table:
    columns = {
        "lr": ("learning rate", "g"),
        "weight_decay": ("weight decay", "g"),
        "seed": ("seed", ""),
        "epoch": ("epoch", ""),
        "figure": (figure.title, ""),
        "loss": ("loss", ""),
    }
    return Table("candidates", columns, tuple(_row(each, figure) for each in ranked(tried, figure)))


def _row(each: Tried, figure: Figure) -> Mapping[str, str | float]:
    candidate, gave = each.candidate, bool(each.val)
    return {
        "lr": candidate.lr,
        "weight_decay": candidate.weight_decay,
        "seed": candidate.seed,
        "epoch": each.epoch if each.epoch is not None else "-",
        "figure": figure.written(each.val[figure.name]) if gave else "no numbers",
        "loss": f"{each.val['loss']:.4f}" if gave else "-",
    }


def _read(plain: Mapping[str, Any]) -> Tried:
    candidate = Candidate(*(plain[name] for name in ("lr", "weight_decay", "seed")))
    return Tried(candidate, plain["epoch"], plain["val"])
