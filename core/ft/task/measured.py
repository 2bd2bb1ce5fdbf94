"""What is measured of a saved model as its run ends, also beside the run from which it started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ft.extension.tasks import Figure
from ft.task.evaluation import Evaluation
from ft.task.sure import Judged


@dataclass(frozen=True)
class Before:
    """What the model of `run` gets on those validation images whose labels it knows, the `names`, and what the new
    model gets on the very same, which may also take them for what `run` did not know. `left_out` are images that
    trained it, or a run before it."""

    run: str
    names: tuple[str, ...]
    images: int
    left_out: int
    then: Evaluation
    now: Evaluation

    def figures(self) -> Iterator[tuple[Figure, float, float]]:
        """Each figure with its value then and now, but for the loss, which is of other outputs."""
        for figure in self.then.about:
            if figure.name != "loss" and figure.name in self.now.figures:
                yield figure, self.then[figure.name], self.now[figure.name]

    def plain(self) -> dict[str, Any]:
        """What report.json holds."""
        about = {"run": self.run, "names": list(self.names), "images": self.images, "left_out": self.left_out}
        return {**about, "then": self.then.plain(), "now": self.now.plain()}


@dataclass(frozen=True)
class Measured:
    """How a saved model does on the validation images, and on the test images, if there are any; and how far the
    figures can be trusted of the latter, or else of the former. `before` is how the run does that it started from."""

    val: Evaluation
    test: Evaluation | None
    judged: Judged
    before: Before | None = None
