"""What a model answers to one image, with what is told beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ft.data.pictures import Picture
from ft.extension.tasks import Answer

UNCERTAINTY, UNLIKE, UNKNOWN = "uncertainty", "unlike", "unknown"
"""What may be told of an image beside the answer: the columns of a file."""


@dataclass(frozen=True)
class Prediction:
    """What the model answers to one image, and what else is told of it, by name; or nothing, and why."""

    picture: Picture
    answer: Answer | None
    error: str = ""
    beside: Mapping[str, float | bool] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The path of the image, as it was given."""
        return self.picture.name


def no_number(image: str) -> str:
    """What is said of an image whose outputs are NaN or infinite."""
    return f"the model makes no number (NaN or infinite) of {image}; are its files those of the run?"
