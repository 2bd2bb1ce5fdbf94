"""One page that compares several runs: figures, curves over each other, what was asked for, and images that one answers
better than another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ft._version import __version__
from ft.extension.sections import Chart, Note, Pictures, Section, Shot
from ft.extension.tasks import Table
from ft.pages.records import Page
from ft.pages.wanted import MOST_SHOTS
from ft.reporting.comparison import Versus, differing
from ft.reporting.curves import PENALTY, line_of, only_solved
from ft.reporting.finished import Finished
from ft.reporting.side_by_side import LETTERS, Beside, asked_differently, beside_the_first, figures_of


def page_of_several(runs: Sequence[Finished]) -> Page:
    """All that the page says; images have their numbers in the first run's list."""
    beside = beside_the_first(runs)
    return Page(
        title=f"{len(runs)} runs compared",
        about=tuple(f"{letter}: {run.run.path}" for letter, run in zip(LETTERS, runs, strict=False)),
        headlines=(),
        notes=tuple(_notes(beside)),
        sections=(_figures(runs), _curves(runs), _asked(runs), *_pictures(beside)),
        made=f"Written by ft {__version__}. This file is complete: it needs no network, and asks for nothing.",
    )


def _notes(beside: Sequence[Beside]) -> Iterator[Note]:
    for each in beside:
        yield Note(f"{each.said}.", warns=isinstance(each.found, str))


def _figures(runs: Sequence[Finished]) -> Section:
    measured = [figures_of(run) for run in runs]
    names = dict.fromkeys(name for each in measured for name in each)
    columns = {"run": ("run", ""), **{name: (name, "") for name in names}}
    rows = tuple(
        {"run": letter, **{name: each.get(name, "-") for name in names}}
        for letter, each in zip(LETTERS, measured, strict=False)
    )
    lead = "What each saved model gives on validation images, and on test images where there are any."
    return Section("Figures", (Table("figures", columns, rows),), lead)


def _curves(runs: Sequence[Finished]) -> Section:
    """A chart of each figure; runs whose head was solved for have no epochs, and a line only where all were."""
    solved = all(only_solved(run.history) for run in runs)
    shown = {letter: run for letter, run in zip(LETTERS, runs, strict=False) if solved or not only_solved(run.history)}
    figures = {figure.name: figure for run in shown.values() for figure in run.task.figures}
    charts = []
    for name, figure in figures.items():
        lines = [line_of(run.history, f"val_{name}", letter) for letter, run in shown.items()]
        title, form = figure.title[:1].upper() + figure.title[1:], ".0%" if figure.form.endswith("%") else "g"
        if there := tuple(line for line in lines if line.points):
            charts.append(Chart(title, PENALTY if solved else "epoch", figure.title, there, y_form=form))
    return Section("Curves", tuple(charts), "Figures of validation images, as training saw them.")


def _asked(runs: Sequence[Finished]) -> Section:
    found, letters = asked_differently(runs), LETTERS[: len(runs)]
    if not found:
        return Section("Asked for differently", (Note("All were asked for the same."),))
    columns = {"key": ("key", ""), **{letter: (letter, "") for letter in letters}}
    rows = tuple({"key": each.key, **dict(zip(letters, each.values, strict=True))} for each in found)
    lead = "The keys of the config that are not the same in all runs."
    return Section("Asked for differently", (Table("keys", columns, rows),), lead)


def _pictures(beside: Sequence[Beside]) -> Iterator[Section]:
    for each in beside:
        if isinstance(each.found, str):
            continue
        worse, better = differing(each.found)
        parts = [
            Pictures(
                f"{each.letter} fares {how} on {len(numbers):,}",
                tuple(_shots(each.found, each.letter, numbers[:MOST_SHOTS])),
            )
            for how, numbers in (("better", better), ("worse", worse))
            if numbers
        ]
        lead = "Images on which the answers differ in how good they are, those that differ most first."
        yield Section(f"{each.letter} beside A", (*parts,) or (Note("There are no such images."),), lead)


def _shots(found: Versus, letter: str, numbers: Sequence[int]) -> Iterator[Shot]:
    for mine, theirs in (found.rows[number] for number in numbers):
        said = f"A says {found.first.said[mine]}, {letter} says {found.second.said[theirs]}"
        yield Shot(found.first.places[mine], f"{found.first.labels[mine]}: {said}")
