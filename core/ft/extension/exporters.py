"""The record of an exporter, and what it is given: a model to be taken along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ft.extension.records import Lazy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import BaseModel
    from torch import Tensor, nn


@dataclass(frozen=True)
class Exporter:
    """Writes a model for other programs, and reads it as they do: `export(model, folder, settings)` puts the file
    `file` into a folder, of a `Portable` model, and `load(folder)` returns what computes it.

    What `load` returns is called with images, a numpy array [N, H, W, 3] of uint8, and returns the arrays of the
    outputs by their names. It is computed by the program that the format is made for, so that it is that which ft
    compares. Both say by an FtError what they need and lack, and which `pip install` brings it; `load` loads torch only
    if that is what computes.

    `use` are the lines of Python that read the file in `folder` and define `model(images)`, which returns the outputs
    called $output: they stand in check.py, and show how it is used. With `any_size` the format holds arithmetic in
    float64 on sizes that are known when it runs; images are then resized by it. `precisions` are those that it writes
    beside "fp32".
    """

    name: str
    summary: str
    export: Lazy
    load: Lazy
    file: str
    use: str
    settings: type[BaseModel] | str | None = None
    any_size: bool = False
    precisions: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Portable:
    """A model to be taken along, as an exporter gets it: in eval mode, on the CPU, in float32 or, with "fp16", in half.

    `module` takes images [N, H, W, 3] of uint8, does its own resizing and normalising, and returns a tuple of tensors,
    whose names are `outputs`. `example` is such a batch; the number of images is to stay open, and with `any_size` both
    sides, too. `metadata` are texts by name that go into the file, where it has a place for them. With `precision`
    "int8", `calibration` yields arrays [1, H, W, 3], training images to see ranges from. `network` is the network
    inside, as ft trained it, and `about` the text of the run's model.json, from which ft rebuilds it.
    """

    module: nn.Module
    outputs: tuple[str, ...]
    example: Tensor
    any_size: bool
    metadata: Mapping[str, str]
    precision: Literal["fp32", "fp16", "int8"]
    calibration: Callable[[], Iterator[NDArray[Any]]]
    network: nn.Module
    about: str
