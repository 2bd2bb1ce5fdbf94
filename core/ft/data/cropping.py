"""How much of many images the crop discards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ft.data.decoding import size_of_picture
from ft.data.geometry import share_seen
from ft.data.pictures import Picture
from ft.extension.records import Preprocessing
from ft.text.counting import number_of

LOOKED_AT = 256
"""Images whose sizes are looked at."""
MUCH = 0.5
"""Share of an image's area that the network does not see from which it counts as much. ImageNet's crop of 224 from 256
px discards 23 % of a square, 43 % of 4:3, 49 % of 3:2, and 57 % of 16:9."""
MANY = 0.1
"""Share of images of which much is discarded from which that is said."""


@dataclass(frozen=True)
class Cropping:
    """Of how many images the sizes were looked at, of how many of those much is discarded, and how much in the mean of
    these, 0 to 1."""

    looked_at: int
    cut: int
    lost: float

    @property
    def warning(self) -> str:
        """What to say of it; "" where there is nothing to say."""
        if not self.looked_at or self.cut < MANY * self.looked_at:
            return ""
        return (
            f"The crop to a square discards more than half of {number_of(self.cut, 'image')} of {self.looked_at} that "
            f"were looked at, {self.lost:.0%} of their area in the mean; what is to be told apart may lie there. "
            "--fit pad shows the network whole images, --fit squash as well, without keeping their shape"
        )


def look_at_crops(many: int, picture: Callable[[int], Picture | None], preprocessing: Preprocessing) -> Cropping:
    """Look at the sizes of some of so `many` images, evenly among their numbers; those that are gone, or cannot be
    read, are passed over."""
    seen = []
    for number in range(0, many, max(1, -(-many // LOOKED_AT))):
        try:
            if (found := picture(number)) is not None:
                seen.append(share_seen(preprocessing, *size_of_picture(found)))
        except Exception:  # whatever reading a header raises, this is about images that can be read
            continue
    lost = [1 - share for share in seen if 1 - share > MUCH]
    return Cropping(len(seen), len(lost), sum(lost) / len(lost) if lost else 0.0)
