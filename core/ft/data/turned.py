"""Views of a square that can be said in numbers, as any program can make them: turned by quarters, and mirrored. This
loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ft.config.use import FLIP, views_in
from ft.errors import FtError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class View:
    """What the network sees of an image, turned to the left by so many quarters and then, perhaps, mirrored left to
    right."""

    quarter_turns: Annotated[int, Field(ge=0, le=3)] = 0
    mirrored: bool = False

    def of_arrays(self, squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """This view of squares [N, S, S, 3]."""
        turned = np.rot90(squares, self.quarter_turns, (1, 2))
        return turned[:, :, ::-1] if self.mirrored else turned

    def __call__(self, square: Tensor) -> Tensor:
        """This view of a square [..., S, S]."""
        turned = square.rot90(self.quarter_turns, (-2, -1))
        return turned.flip(-1) if self.mirrored else turned


FLIPPED = (View(), View(mirrored=True))
"""What `--tta flip` asks about."""
EIGHT = tuple(View(turns, mirrored) for turns in (0, 2, 1, 3) for mirrored in (False, True))
"""All that there are."""
TOGETHER = 2
"""Views of each image of a batch that a network is given at once: an image and its mirrored copy are one batch."""


def views_asked(tta: str, views: tuple[View, ...], who: str) -> tuple[View, ...]:
    """What `--tta` asks about where `views` are those that somebody, `who`, says to have. Raises FtError where there
    are fewer."""
    if tta == FLIP:
        return FLIPPED
    number = views_in(tta)
    if not views:
        raise FtError(
            f"--tta {tta} replays the run's augmentation, and {who} has none to replay: of an exported model only "
            "squares that are turned or mirrored can be, as augment flip and geometric make them; what others draw "
            "comes from torch. Use --tta flip, or ask the run"
        )
    if number > len(views):
        raise FtError(f"--tta {tta}: the augmentation of {who} has {len(views)} views; use --tta views:{len(views)}")
    return views[:number]
