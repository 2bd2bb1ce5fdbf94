"""What came of a run as people read it: what `ft run` and `ft evaluate` print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ft.extension.tasks import Figure, Table
from ft.machine.display import Display
from ft.machine.layout import Columns, print_matrix, print_pairs, print_table, times
from ft.plan.records import CacheCost
from ft.run.candidates import print_candidates, won
from ft.run.next_steps import next_steps
from ft.run.records import to_predict
from ft.run.report import Report, doubts
from ft.task.evaluation import Evaluation
from ft.task.sure import Judged, too_few
from ft.text.counting import number_of, some_names
from ft.text.durations import as_duration

MOST_CONFUSED = 12
"""A confusion matrix of more classes than this does not fit on a screen; the pairs that are confused most do."""
MANY_ROWS = 40
"""A table of more rows than this is read by nobody; of them the worst are shown."""
WORST = 12
"""How many rows are shown where there are more than fit."""


def print_report(report: Report, folder: Path, display: Display) -> None:
    """The saved model's figures, a row for every class, how sure they are, what trained, and where the model lies; then
    what to do next, and what may be unexpected about the figures."""
    where = str(folder / "report.json")
    display.tell("")
    best = report.saved if report.averaged else f"best {report.saved}"
    print_evaluation(report.val, f"{best} of {report.epochs}, validation", where, display)
    if report.test is not None:
        print_evaluation(report.test, "test", where, display)
    if report.tried:
        print_candidates(report.tried, _monitored(report), where, display)
    lines = [
        *_trust(report.judged),
        *_before(report),
        *_won(report),
        *_each_phase(report),
        ("trained", _trained(report)),
    ]
    lines += _time(report)
    print_pairs(lines, display.out, folded=True)
    steps = [("" if number else "next", step) for number, step in enumerate(next_steps(report, folder))]
    print_pairs([("run", str(folder)), ("use it", to_predict(folder)), *steps], display.out)  # not folded, to be copied
    for warning in report.judged.warnings:
        display.warn(warning.removesuffix("."))
    for sure in report.judged.sure[:1]:
        for doubt in too_few(sure, _images(report.judged)):
            display.warn(doubt)
    for doubt in doubts(report, folder):
        display.warn(doubt)


def _trust(judged: Judged) -> Iterator[tuple[str, str]]:
    """Between which values the figures lie, and what they are to be compared with."""
    ranged = [
        f"{each.figure.title} {each.figure.written(each.interval.low)} to {each.figure.written(each.interval.high)}"
        for each in judged.sure
        if each.interval
    ]
    if ranged:
        yield "sure", f"{', '.join(ranged)}, with 95 % confidence from {_images(judged)}"
    guessed = [
        f"{each.figure.title} {each.figure.written(each.guess)}" for each in judged.sure if each.guess is not None
    ]
    if guessed:
        yield "guessing", f"{', '.join(guessed)}, with one answer to all images"


def _before(report: Report) -> Iterator[tuple[str, str]]:
    """How the run that this one started from does on the same images, and this one there."""
    if (before := report.before) is None:
        return
    told = [
        f"{figure.title} {figure.written(then)}, now {figure.written(now)}" for figure, then, now in before.figures()
    ]
    left = f", without {number_of(before.left_out, 'image')} that trained it" if before.left_out else ""
    images = number_of(before.images, "validation image")
    yield "before", f"{'; '.join(told)}; on the same {images} of {some_names(before.names)}, by {before.run}{left}"


def _monitored(report: Report) -> Figure:
    """The figure by which epochs and candidates were compared."""
    return next(each for each in report.val.about if each.name == report.monitor)


def _won(report: Report) -> Iterator[tuple[str, str]]:
    if report.tried:
        yield "chosen", won(report.tried, _monitored(report))


def _images(judged: Judged) -> str:
    return number_of(judged.images, "test image" if judged.split == "test" else "validation image")


def _trained(report: Report) -> str:
    """How much trained, that nothing else moved, and what was computed once, in one line."""
    total = report.trainable_parameters + report.frozen_parameters
    proved = ", the others proved unchanged" if report.frozen_parameters else ""
    if report.adapted:
        proved += f", then {number_of(report.adapted, 'adapter')} merged into them"
    trained = f"{report.trainable_parameters:,} of {total:,} parameters in {report.seconds:.1f} s{proved}"
    cost = report.cache
    if not cost.computed and (cost.promise == "off" or cost.ceiling == 1.0):
        return f"{trained}; nothing of the network was computed once: {cost.reason}"
    source = f"computed once in {cost.seconds:.1f} s" if cost.computed else "found in the store"
    return f"{trained}; features {source} ({cost.promise})"


def _each_phase(report: Report) -> Iterator[tuple[str, str]]:
    """Of a run in phases, how much trained in each, and that nothing else moved."""
    for number, phase in enumerate(report.each_phase, start=1):
        done = number_of((phase.ended or phase.begins) - phase.begins, "epoch")
        total = phase.trainable_parameters + phase.frozen_parameters
        proved = ", the others proved unchanged" if phase.frozen_parameters else ""
        yield f"phase {number}", f"{phase.trainable_parameters:,} of {total:,} parameters in {done}{proved}"


def _time(report: Report) -> Iterator[tuple[str, str]]:
    """Of a run on a time budget, how long it took, what was cut and what ended early."""
    budget = report.time_budget
    if budget is None:
        return
    took = f"{as_duration(budget['seconds'])} of {budget['asked']}" if budget["seconds"] else budget["asked"]
    several = len(report.each_phase) > 1
    early = (
        f"{f'phase {number}' if several else 'the run'} ended early, after epoch {epoch}"
        for number, epoch in budget["ended"].items()
    )
    yield "time", "; ".join((took, *budget["cut"], *early))


def print_evaluation(evaluation: Evaluation, title: str, where: str, display: Display) -> None:
    """The figures, then the tables of what they are made of.

    All of it where it fits on a screen; of many rows those that cost most, the rest being `where` it says.
    """
    figures = ", ".join(f"{each.title} {each.written(evaluation[each.name])}" for each in evaluation.about)
    display.tell(f"{title}: {figures}")
    display.tell("")
    left = [(_print_matrix if table.matrix else _print_rows)(table, display) for table in evaluation.tables]
    if any(left):
        display.tell(f"The worst come first; {' and '.join(filter(None, left))} are in {where}.")


def _print_rows(table: Table, display: Display) -> str:
    """Print rows, of very many those that cost most; say how many are left out."""
    rows = table.rows
    if len(rows) > MANY_ROWS and table.costs:
        order = sorted(range(len(rows)), key=lambda number: -table.costs[number])
        rows = tuple(rows[number] for number in order[:WORST])
    _print(table, rows, display)
    return f"{len(table.rows) - len(rows):,} more {table.name}" if len(rows) < len(table.rows) else ""


def _print_matrix(table: Table, display: Display) -> str:
    """Print what was taken for what: a square where names are few, else the pairs that were confused most often."""
    was, taken, count = table.columns
    counts = {(row[was], row[taken]): int(row[count]) for row in table.rows}
    if len(table.matrix) <= MOST_CONFUSED:
        square = [[counts.get((name, other), 0) for other in table.matrix] for name in table.matrix]
        print_matrix(table.matrix, square, display.out)
        return ""
    mistakes = sorted((row for row in table.rows if row[was] != row[taken]), key=lambda row: -int(row[count]))
    if mistakes:
        _print(table, mistakes[:WORST], display)
    left = len(mistakes) - WORST
    return f"{left:,} more pairs" if left > 0 else ""


def _print(table: Table, rows: Sequence[Mapping[str, str | float]], display: Display) -> None:
    cells = [[format(row[name], form) for name, (_, form) in table.columns.items()] for row in rows]
    numbers = [title for name, (title, _) in table.columns.items() if rows and not isinstance(rows[0][name], str)]
    headers = [title for title, _ in table.columns.values()]
    squeeze = tuple(title for title in headers if title not in numbers)
    print_table(headers, cells, Columns(right=numbers, squeeze=squeeze), display.out)


def computed_once(cost: CacheCost, speedup: float | None) -> str:
    """What was computed once, what that took, and how many times as fast that made an epoch, as far as it is known."""
    if cost.promise == "off":
        return f"nothing was computed once: {cost.reason}"
    if not cost.computed and cost.ceiling == 1.0:
        source = f"{cost.decoded} decoded" if cost.decoded else "found in the store"
        return f"images {source}; nothing of the network was computed once: {cost.reason}"
    source = f"computed for {cost.computed} images in {cost.seconds:.1f} s" if cost.computed else "found in the store"
    came_to = f"epochs {times(speedup)} as fast, " if speedup else ""
    return f"features {source}; {cost.promise}, {came_to}ceiling {times(cost.ceiling)}"
