"""An exported file asked about several views of each image, as `--tta` has them: which there are, and how what comes of
it compares with ft."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ft.data.augmentation import Step, choose_augmentation
from ft.data.pictures import Picture
from ft.data.turned import EIGHT, View
from ft.errors import FtError
from ft.exporting.used import Exported
from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.reporting.finished import Finished


def views_of(finished: Finished, plugins: Plugins, display: Display) -> tuple[View, ...]:
    """All that the augmentation of a run makes of what the network sees, in its order, where these are that square,
    turned and mirrored; else none. Where the augmentation is not there any more, a warning says so."""
    try:
        chosen = choose_augmentation(finished.seen.augment, plugins.preferring(finished.config.prefer))
    except FtError as error:
        display.warn(f"the folder will say no views of the run's augmentation: {error}")
        return ()
    found = [_view_that_is(position) for position in chosen.positions()]
    views = tuple(each for each in found if each is not None)
    return views if len(views) == len(found) and views[:1] == (View(),) else ()


def _view_that_is(position: Step) -> View | None:
    """Which of the eight views of a square a position is, tried on one that is like none of its views."""
    square = torch.arange(3 * 5 * 5, dtype=torch.uint8).reshape(3, 5, 5)
    made = position(square)
    return next((view for view in EIGHT if torch.equal(view(square), made)), None)


def outputs_over_views(exported: Exported, pictures: Sequence[Picture], display: Display) -> NDArray[np.float32]:
    """The averaged outputs [N, K] of an exported model for pictures, as `ft predict` asks it. Raises FtError for one
    without."""
    rows: list[NDArray[np.float32]] = []
    for row in (row for some in exported.outputs_or_why(pictures, display) for row in some):
        if isinstance(row, str):
            raise FtError(row)
        rows.append(row)
    return np.stack(rows)


def golden_views(exported: Exported, pictures: Sequence[Picture], most: int) -> list[NDArray[np.uint8]]:
    """The views [V, H, W, 3] of the first pictures, so many arrays at most, but those of one picture at least."""
    prepare, views = exported.prepare, exported.views
    some = [prepare(picture)[None] for picture in pictures[: max(1, most // len(views))]]
    return [np.concatenate([prepare.seen_in(view, image) for view in views]) for image in some]
