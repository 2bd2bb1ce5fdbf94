"""An exported model, served. This loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ft.serving.served import Served

if TYPE_CHECKING:
    from ft.exporting.used import Exported
    from ft.extension.tasks import Answer


def served_export(exported: Exported) -> Served:
    """The model of a folder of `ft export`, whose own program computes it."""

    def answer(arrays: Sequence[Any], names: Sequence[str]) -> Sequence[Answer | str]:
        # Arrays of one size are computed together, so those of one size stand together.
        order = sorted(range(len(arrays)), key=lambda place: arrays[place].shape)
        found = exported.computed([arrays[place] for place in order], [names[place] for place in order])
        there = [row for row in found if not isinstance(row, str)]
        said = iter(exported.task.answers(np.stack(there), exported.space) if there else ())
        told = {place: row if isinstance(row, str) else next(said) for place, row in zip(order, found, strict=True)}
        return [told[place] for place in range(len(arrays))]

    return Served(
        str(exported.folder),
        exported.about.format,
        exported.task.name,
        exported.task.record.noun,
        exported.space,
        exported.like(),
        exported.prepare,
        answer,
        lacking="this is an exported model, which gives answers alone; ft serve RUN, of the run, draws maps",
    )
