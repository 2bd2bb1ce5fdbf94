"""What export.json, in the folder of an exported model, holds: how it was made, how it compares, how it is used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ft.data.turned import View
from ft.run.records import EXPORT, ModelFile, RunFile

NAME = EXPORT
Precision = Literal["fp32", "fp16", "int8"]
Size = Literal["any", "network"]
"""Of which size images are: of any, or of the network's."""


class Parity(RunFile):
    """How the outputs of a file, by the program that it is for, compare with ft's, on so many images of the run, which
    validated in it: the largest difference of an output, the largest output, and how many answers are equal. Beyond
    the `tolerance` a file in fp32 is refused."""

    images: int
    largest_difference: float
    largest_output: float
    equal_answers: int
    tolerance: float


class OverViews(RunFile):
    """How the file and ft compare where both are asked about several views of each image, as `tta` says, and their
    outputs are averaged; and the figure by which the model is judged, of the file's."""

    tta: str
    parity: Parity
    figure: float


class Speed(RunFile):
    """What a model takes: bytes of its file, and seconds for one image and for a batch, medians; and the figure by
    which it is judged, on the images of `Parity`."""

    what: str
    size: int | None
    one: float
    batch: float
    figure: float


class ExportFile(RunFile, extra="forbid"):
    """export.json. `model` is what the run's model.json holds, `outputs` are the names of the file's, the network's own
    first, `use` the lines of Python that define `model(images)`; `views` are all that the run's augmentation makes of
    what the network sees, that itself first, where these are turned and mirrored squares, else none."""

    format_version: Literal[1] = 1
    format: str
    precision: Precision
    images: Size
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]
    model: ModelFile
    views: tuple[View, ...] = ()
    parity: Parity
    over_views: OverViews | None = None
    figure: str
    batch: int
    speeds: tuple[Speed, ...]
    versions: dict[str, str]
