"""How answers are written, whoever writes them: a table, a file, JSON on a terminal or from a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft.extension.tasks import Answer
    from ft.inference.prediction import Prediction


@dataclass(frozen=True)
class Form:
    """How answers are written: the `top` best of each, and `like` one that an image might get, whose columns all
    have; what is told `beside` them, by name, as it might be; and whether `every` name of the label space is told."""

    top: int
    like: Answer
    beside: Mapping[str, float | bool] = field(default_factory=dict, hash=False)
    every: bool = False

    @property
    def shown(self) -> int:
        """How many of the best are shown where each takes no column."""
        return max(self.top, len(self.like.every() or ())) if self.every else self.top

    def said(self, each: Prediction) -> dict[str, Any]:
        """An answer as JSON; where there is none, its lists are empty and all else is null."""
        answer = self.like if each.answer is None else each.answer
        said = answer.said(self.shown)
        if each.answer is None:
            said = {name: _nothing(value) for name, value in said.items()}
        return {"path": each.name, **said, **{name: each.beside.get(name) for name in self.beside}, "error": each.error}

    def cells(self, answer: Answer, beside: Mapping[str, float | bool]) -> dict[str, str]:
        """An answer in the columns of a table for people."""
        return {**answer.cells(self.shown), **{name: _cell(beside[name]) for name in self.beside}}


def _nothing(value: Any) -> Any:
    return type(value)() if isinstance(value, list | tuple | dict) else None


def _cell(value: float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3f}"
