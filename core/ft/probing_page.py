"""What `ft probe` found as a page: a chart of figures against time, one of depths, and the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ft._version import __version__
from ft.extension.sections import Chart, Line, Note, Section
from ft.extension.tasks import Table
from ft.pages.page import draw
from ft.pages.records import Album, Page
from ft.probing import Probe, Probed
from ft.text.counting import number_of


def probing_page(found: Probed, data: str) -> str:
    """The whole page as the text of an HTML file."""
    backbones = {each.backbone for each in found.ranked}
    page = Page(
        title=f"Backbones on {data}",
        about=(f"{found.images:,} images", number_of(len(backbones), "backbone"), f"{found.folds} folds"),
        headlines=(),
        notes=tuple(_notes(found)),
        sections=(_against_time(found), _depths(found), _table(found)),
        made=f"Written by ft {__version__}. This file is complete: it needs no network, and asks for nothing.",
    )
    return draw(page, Album())


def _notes(found: Probed) -> Iterator[Note]:
    best, chosen = found.ranked[0], found.as_good
    yield Note(f"{_name(best)} is the best: {found.figure.title} {_value(found, best)}.")
    if chosen is not best:
        faster = best.seconds / chosen.seconds
        yield Note(f"{_name(chosen)} is not worse by more than chance, and {faster:.1f} times as fast in use.")
    for name, why in found.left_out.items():
        yield Note(f"{name} is left out: {why}", warns=True)


def _against_time(found: Probed) -> Section:
    def point(each: Probe) -> tuple[float, float]:
        return 1000 * each.seconds, each.figures[found.figure.name]

    front = found.front
    others = [each for each in found.ranked if each not in front]  # of very many, the last ones are not drawn
    lines = (
        *([Line("front", tuple(point(each) for each in front))] if len(front) > 1 else []),
        *(Line(_name(each), (point(each),)) for each in (*front, *others)),
    )
    chart = Chart(
        "Figure against time", "milliseconds an image, in use", found.figure.title, lines, y_form=_form(found)
    )
    better = "Higher" if found.figure.larger_is_better else "Lower"
    lead = (
        f"{better} is better, and further left is faster. The line joins those that nothing else is both better and "
        "faster than. Time is that of this machine."
    )
    return Section("What each costs", (chart,), lead)


def _depths(found: Probed) -> Section:
    by_backbone: dict[str, list[Probe]] = {}
    for each in found.depths:
        by_backbone.setdefault(each.backbone, []).append(each)
    lines = tuple(
        Line(name, tuple((number, each.figures[found.figure.name]) for number, each in enumerate(some, 1)))
        for name, some in by_backbone.items()
    )
    lead = "How well a linear head answers on what each stage gives; where a line ends to rise, later ones add little."
    return Section(
        "Depths", (Chart("By stage", "stage, from the input", found.figure.title, lines, y_form=_form(found)),), lead
    )


def _table(found: Probed) -> Section:
    columns = {
        "backbone": ("backbone", ""),
        "head": ("head", ""),
        "front": ("front", ""),
        "figure": (found.figure.title, found.figure.form),
        "milliseconds": ("ms an image", ".1f"),
        "parameters": ("parameters", ",.0f"),
        "penalty": ("penalty", "g"),
    }
    rows: tuple[Mapping[str, str | float], ...] = tuple(
        {
            "backbone": each.backbone,
            "head": each.head,
            "front": "yes" if each in found.front else "",
            "figure": each.figures[found.figure.name],
            "milliseconds": 1000 * each.seconds,
            "parameters": float(each.parameters),
            "penalty": each.penalty,
        }
        for each in found.ranked
    )
    lead = f"Heads were fitted to all images but a share of 1/{found.folds}, and asked about that share."
    return Section("All figures", (Table("backbones", columns, rows),), lead)


def _name(each: Probe) -> str:
    return f"{each.backbone}, {each.head}"


def _form(found: Probed) -> str:
    return ".0%" if found.figure.form.endswith("%") else "g"


def _value(found: Probed, each: Probe) -> str:
    value = found.figure.written(each.figures[found.figure.name])
    if each.interval is None:
        return value
    return f"{value} ({found.figure.written(each.interval.low)} to {found.figure.written(each.interval.high)})"
