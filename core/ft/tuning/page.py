"""What a sweep found as a page: what matters, parallel coordinates, the front of figure against time, all trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ft._version import __version__
from ft.extension.sections import Chart, Code, Line, Note, Parallel, Part, Section, Shares, Strand, Upright
from ft.extension.tasks import Table
from ft.pages.page import draw
from ft.pages.records import Album, Headline, Page
from ft.pages.scales import shown_range, ticks
from ft.run.records import to_predict
from ft.text.counting import number_of
from ft.text.durations import as_duration
from ft.text.names import typed
from ft.tuning.records import Swept, Trial
from ft.tuning.space import Choices, Over


def sweep_page(found: Swept, space: Sequence[Over]) -> str:
    """The whole page as the text of an HTML file."""
    best = found.best
    headlines: tuple[Headline, ...] = ()
    if best is not None:
        headlines = (
            Headline(f"best {found.figure.title}", _written(found, best), beside=(("trial", str(best.number)),)),
        )
    page = Page(
        title=f"Sweep {found.folder.name}",
        about=tuple(_about(found)),
        headlines=headlines,
        notes=tuple(_notes(found)),
        sections=tuple(_sections(found, space)),
        made=f"Written by ft {__version__}. This file is complete: it needs no network, and asks for nothing.",
    )
    return draw(page, Album())


def _about(found: Swept) -> Iterator[str]:
    yield number_of(found.wanted, "trial")
    for state in ("done", "pruned", "failed", "running", "waiting"):
        if count := found.count(state):
            yield f"{count} {state}"
    yield f"{as_duration(sum(each.seconds for each in found.trials))} of work"


def _notes(found: Swept) -> Iterator[Note]:
    if found.best is None:
        yield Note("No trial has come to a figure yet.", warns=True)
    failed = found.count("failed")
    if failed:
        yield Note(f"{number_of(failed, 'trial')} failed; the table below says why.", warns=True)
    if len(found.ranked) > 1:
        yield Note(
            f"The best of {len(found.ranked)} trials was chosen by the validation images, so its figure there is "
            "better than that of new images will be. Measure it on a test split, or on images that nobody looked at."
        )


def _sections(found: Swept, space: Sequence[Over]) -> Iterator[Section]:
    if found.best is not None:
        folder = found.folder / found.best.name
        use = Code("use it", to_predict(folder))
        repeat = Code("repeat it", typed("ft", "run", "--config", folder / "config.yaml"))
        values = Note(", ".join(f"{name} {text}" for name, text in found.best.values.items()))
        yield Section("The best trial", (values, use, repeat), f"Trial {found.best.number}, in {folder}.")
        yield Section("What matters", tuple(_what_matters(found)), _MATTERS)
        yield Section("All trials at once", (_parallel(found, space),), _STRANDS)
        yield _against_time(found)
        yield _over_trials(found)
    yield _table(found)


_MATTERS = (
    "Which share of the differences between trials that ran to their end each key accounts for, as far as these trials "
    "tell (PED-ANOVA). A small share means that the values tried differ little, not that others would."
)
_STRANDS = (
    "Each line is a trial: where it crosses an axis is what it set, and on the last axis what it came to. The darker, "
    "the better; the best one stands out. Point at a line to read it."
)


def _what_matters(found: Swept) -> Iterator[Part]:
    if found.importance is None:
        yield Note(f"{number_of(len(found.ranked), 'trial')} that ran to the end, or such that all came to the same, "
                   "are too few to tell.")  # fmt: skip
    else:
        yield Shares("", tuple(found.importance.items()))


def _parallel(found: Swept, space: Sequence[Over]) -> Parallel:
    shown = [*found.ranked, *(each for each in found.trials if each.state == "pruned" and each.figure is not None)]
    figures = [each.figure for each in shown if each.figure is not None]
    low, high = shown_range(figures, with_zero=False)
    axes = [_axis(over, shown) for over in space]
    last = Upright(
        found.figure.title,
        tuple(((each - low) / (high - low), found.figure.written(each)) for each in ticks(low, high)),
    )
    order = {id(each): rank for rank, each in enumerate(sorted(shown, key=found.merit))}
    strands = []
    for each in shown:
        places = [_place(over, each, axis) for over, axis in zip(space, axes, strict=True)]
        assert each.figure is not None
        good = 1 - order[id(each)] / max(1, len(shown) - 1)
        strands.append(
            Strand(_said(found, each), (*places, (each.figure - low) / (high - low)), good, each == found.best)
        )
    return Parallel("Keys and figure", (*axes, last), tuple(strands))


def _axis(over: Over, shown: Sequence[Trial]) -> Upright:
    """The axis of a key: choices evenly, in their order, or its range."""
    if isinstance(over, Choices):
        many = max(1, len(over.texts) - 1)
        return Upright(over.name, tuple((number / many, text) for number, text in enumerate(over.texts)))
    if over.log:
        low, high = math.log10(over.low), math.log10(over.high)
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        marks = [(10.0**power) for power in powers] if len(powers) > 1 else [over.low, over.high]
    else:
        marks = list(ticks(over.low, over.high, whole=over.whole))
    return Upright(over.name, tuple((_share(over, mark), f"{over.before}{mark:g}{over.unit}") for mark in marks))


def _place(over: Over, trial: Trial, axis: Upright) -> float | None:
    value = trial.numbers.get(over.name)
    if value is None:
        return None
    if isinstance(over, Choices):
        return next((place for place, text in axis.ticks if text == value), None)
    return _share(over, float(value))


def _share(over: Over, value: float) -> float:
    assert not isinstance(over, Choices)
    if over.log:
        return math.log(value / over.low) / math.log(over.high / over.low)
    return (value - over.low) / (over.high - over.low)


def _against_time(found: Swept) -> Section:
    front = found.front
    others = [each for each in found.ranked if each not in front]
    lines = (
        *([Line("front", tuple(_point(each) for each in front))] if len(front) > 1 else []),
        *([Line("on the front", tuple(_point(each) for each in front))] if len(front) == 1 else []),
        *([Line("others", tuple(_point(each) for each in others))] if others else []),
    )
    chart = Chart("Figure against time", "seconds of a trial", found.figure.title, lines[:1], y_form=_form(found))
    scattered = Chart("Every trial", "seconds of a trial", found.figure.title, lines, "points", y_form=_form(found))
    better = "Higher" if found.figure.larger_is_better else "Lower"
    lead = (
        f"{better} is better, and further left is faster. The line joins trials that no other is both better and "
        "faster than. Time is that of the machines as they were; the first trial with a frozen part also "
        "computes what later ones find."
    )
    return Section("What each costs", (chart, scattered), lead)


def _over_trials(found: Swept) -> Section:
    by_number = sorted(found.ranked, key=lambda each: each.number)
    best, steps = None, []
    for each in by_number:
        best = each if best is None or found.merit(each) < found.merit(best) else best
        steps.append((float(each.number), _figure(best)))
    single = tuple((float(each.number), _figure(each)) for each in by_number)
    lines = (Line("best so far", tuple(steps)), Line("each trial", single))
    chart = Chart("Figure by trial", "trial", found.figure.title, lines, y_form=_form(found))
    return Section(
        "In the course of the sweep", (chart,), "Where the upper line stays level, more trials bring little."
    )


def _table(found: Swept) -> Section:
    names = list(dict.fromkeys(name for each in found.trials for name in each.values))
    columns = {
        "trial": ("trial", ".0f"),
        "state": ("state", ""),
        "figure": (found.figure.title, ""),
        "seconds": ("seconds", ".1f"),
        "epochs": ("epochs", ".0f"),
        **{f"value {name}": (name, "") for name in names},
        "why": ("why", ""),
    }
    rows: tuple[Mapping[str, str | float], ...] = tuple(
        {
            "trial": float(each.number),
            "state": each.state,
            "figure": "-" if each.figure is None else found.figure.written(each.figure),
            "seconds": each.seconds,
            "epochs": float(each.epochs),
            **{f"value {name}": each.values.get(name, "-") for name in names},
            "why": each.why,
        }
        for each in found.trials
    )
    return Section("All trials", (Table("trials", columns, rows),), "Each has a folder, named by its number.")


def _point(trial: Trial) -> tuple[float, float]:
    return trial.seconds, _figure(trial)


def _figure(trial: Trial) -> float:
    assert trial.figure is not None
    return trial.figure


def _said(found: Swept, trial: Trial) -> str:
    values = ", ".join(f"{name} {text}" for name, text in trial.values.items())
    return f"trial {trial.number}: {_written(found, trial)} ({trial.state}); {values}"


def _written(found: Swept, trial: Trial) -> str:
    return found.figure.written(_figure(trial))


def _form(found: Swept) -> str:
    return ".0%" if found.figure.form.endswith("%") else "g"
