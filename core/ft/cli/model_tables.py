"""Backbones as tables: which to begin with, and those that were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ft.machine.layout import Columns, count, print_table, size

if TYPE_CHECKING:
    from ft.machine.display import Display
    from ft.model.listing import ListedModel


def print_overview(models: Sequence[ListedModel], providers: Sequence[tuple[str, str]], display: Display) -> None:
    """Which backbones to begin with and why, then a row for every provider, and how to see the rest."""
    console = display.out
    if recommended := [model for model in models if model.recommended]:
        print_models(recommended, display)
        because = [(model.name, model.recommended) for model in recommended]
        print_table(("to begin with", "because"), because, Columns(prose="because"), console)
    counts = Counter(model.provider for model in models)
    rows = [(name, counts[name] or "-", about) for name, about in providers]
    columns = Columns(right=("models",), prose="what they are")
    print_table(("provider", "models", "what they are"), rows, columns, console)
    display.tell("all of them: ft models '*'   of one provider, the smallest first: ft models 'NAME:*' --sort flops")


def print_models(models: Sequence[ListedModel], display: Display) -> None:
    """A row for every model: what is published of it, and whether its weights are on this machine."""
    rows = [
        (
            model.name,
            "-" if model.parameters is None else count(model.parameters),
            "-" if model.flops is None else f"{model.flops / 1e9:.2f}",
            "-" if model.accuracy is None else f"{model.accuracy:.1f}",
            "-" if model.size is None else size(model.size),
            "yes" if model.here else "-",
        )
        for model in models
    ]
    headers = ("backbone", "parameters", "GMACs", "top-1", "weights", "here")
    print_table(headers, rows, Columns(right=headers[1:5], squeeze=("backbone",)), console=display.out)
