"""One overlay of `ft explain`: drawn, written, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft.data.pictures import Picture
from ft.errors import FtError
from ft.extension.tasks import Answer
from ft.inference.explanation import Explanation
from ft.inference.overlay_files import write_overlay
from ft.inference.prediction import Prediction
from ft.machine.files import CannotWrite


@dataclass(frozen=True)
class Drawn(Answer):
    """What `ft explain` tells of an overlay that it wrote."""

    overlay: str
    of: str
    output: float
    method: str
    layer: str
    box: tuple[int, int, int, int]
    empty: bool

    @classmethod
    def like(cls) -> Drawn:
        """One as an image might get it."""
        return cls("", "", 0.0, "", "", (0, 0, 0, 0), False)

    def said(self, top: int) -> dict[str, Any]:
        return {**super().said(top), "box": list(self.box)}

    def cells(self, top: int) -> dict[str, str]:
        return {"overlay": self.overlay, "explains": f"{self.of}{', empty' if self.empty else ''}"}


def drawn(path: Path, explanation: Explanation | str, to: Path) -> Prediction:
    """Write the overlay of an image and say what it is, or why there is none."""
    if isinstance(explanation, str):
        return Prediction(Picture.at(path), None, explanation)
    try:
        write_overlay(explanation.overlay(), to)
    except CannotWrite:
        raise
    except FtError as error:
        return Prediction(Picture.at(path), None, str(error))
    each = explanation
    made = Drawn(str(to), each.of, each.output, each.method, each.layer, each.box, each.empty)
    return Prediction(Picture.at(path), made)
