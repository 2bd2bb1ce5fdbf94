"""What was found about learning rates, as people see it: in a terminal, and as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ft._version import __version__
from ft.extension.sections import Chart, Code, Line, Note, Section
from ft.lr_finding import FoundRates
from ft.machine.display import Display
from ft.machine.layout import print_pairs
from ft.pages.page import draw
from ft.pages.records import Album, Headline, Page
from ft.text.counting import number_of
from ft.text.plot import Plot, plotted

NAMES = {"lr": "--lr", "head_lr": "--head-lr"}
WIDEST, ROWS = 100, 10
MARGIN = 12
"""Columns that the numbers beside a curve take at most, with some space."""


def show_rates(found: FoundRates, command: str, display: Display) -> None:
    """Print the curve, what is suggested and why, and the command to type next, "" for none."""
    curve, console = found.curve, display.out
    marks = [(math.log10(rate), text) for rate, text in _marks(found)]
    columns = min(WIDEST, console.width) - MARGIN
    places = [math.log10(rate) for rate in curve.rates]
    across = np.linspace(places[0], places[-1], 2 * columns)
    points = list(zip(across.tolist(), np.interp(across, places, curve.smooth).tolist(), strict=True))
    display.tell(f"loss by {NAMES[found.of]}, smoothed, over {number_of(len(curve.rates), 'step')}")
    for line in plotted(Plot(points, columns, ROWS, marks=marks), console.options.ascii_only):
        display.tell(line)
    display.tell("")
    print_pairs([("found", _sentence(found)), *_more(found)], console, folded=True)
    if command:
        print_pairs([("next", command)], console)  # not folded, to be copied


def rates_page(found: FoundRates, command: str) -> str:
    """The same as the text of an HTML file."""
    curve = found.curve

    places = [math.log10(rate) for rate in curve.rates]
    highest = max(curve.smooth) + 0.1 * (max(curve.smooth) - min(curve.smooth))

    def line(name: str, losses: Sequence[float]) -> Line:
        return Line(name, tuple(zip(places, losses, strict=True)))

    def point(rate: float, text: str) -> Line:
        at = math.log10(rate)
        return Line(text, ((at, float(np.interp(at, places, curve.smooth))),))

    lines = (
        line("smoothed", curve.smooth),
        line("each batch", [min(loss, highest) for loss in curve.losses]),
        *(point(*mark) for mark in _marks(found)),
    )
    above = sum(loss > highest for loss in curve.losses)
    note = f"{number_of(above, 'batch', 'batches')} beyond the upper edge {'is' if above == 1 else 'are'} drawn at it."
    chart = Chart("Loss", f"{NAMES[found.of]}, as a power of ten", "loss of a batch", lines, note=note if above else "")
    lead = "The learning rate rose from step to step; each point is one batch."
    rows = [Code("Train with it", command)] if command else []
    page = Page(
        title=f"Learning rates for {found.backbone}",
        about=(found.data, number_of(len(curve.rates), "step")),
        headlines=tuple(
            Headline(NAMES[name], f"{rate:g}", beside=(("as planned", f"{found.planned:g}"),) * (name == found.of))
            for name, rate in found.keywords.items()
        ),
        notes=(
            Note(f"{_sentence(found)[:1].upper()}{_sentence(found)[1:]}.", warns=not found.keywords),
            *(Note(f"{text[:1].upper()}{text[1:]}.") for _, text in _more(found)),
        ),
        sections=(Section("Loss by learning rate", (chart, *rows), lead),),
        made=f"Written by ft {__version__}. This file is complete: it needs no network, and asks for nothing.",
    )
    return draw(page, Album())


def plain_rates(found: FoundRates, command: str) -> dict[str, Any]:
    """The same for JSON."""
    curve = found.curve
    return {
        "of": found.of,
        "rates": list(curve.rates),
        "losses": list(curve.losses),
        "smooth": list(curve.smooth),
        "steepest": curve.steepest,
        "lowest": curve.lowest,
        "suggested": dict(found.keywords),
        "planned": found.planned,
        "why": curve.why,
        "command": command,
    }


def flags_of(keywords: Mapping[str, float]) -> list[str]:
    """The flags of `ft run` that say the same.

    >>> flags_of({"lr": 0.003})
    ['--lr', '0.003']
    """
    return [word for name, rate in keywords.items() for word in (NAMES[name], f"{rate:g}")]


def _marks(found: FoundRates) -> list[tuple[float, str]]:
    curve = found.curve
    if curve.suggested is None or curve.steepest is None or curve.lowest is None:
        return []
    return [
        (curve.suggested, f"{curve.suggested:g} suggested"),
        *([(curve.steepest, "falls fastest")] if curve.steepest != curve.suggested else []),
        (curve.lowest, "lowest"),
    ]


def _sentence(found: FoundRates) -> str:
    if not found.keywords:
        return f"{found.curve.why}; as planned, it is {NAMES[found.of]} {found.planned:g}"
    said = " ".join(flags_of(found.keywords))
    return f"{said}: {found.curve.why}; the run would have taken {NAMES[found.of]} {found.planned:g}"


def _more(found: FoundRates) -> list[tuple[str, str]]:
    """What else has to be known."""
    said = []
    if len(found.keywords) > 1:
        said.append(("ratio", f"the head's rate is {found.ratio:g} times the backbone's, as it was while both rose"))
    if found.groups and found.curve.suggested is not None:
        times = found.curve.suggested / found.planned
        said.append(("groups", f"rates of groups in the config rose with the others: multiply them by {times:.2g}"))
    return said
