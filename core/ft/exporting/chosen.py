"""Which exporter a format names, and what it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ft.data.resizing import can_be_carried
from ft.errors import FtError
from ft.exporting.records import Precision, Size
from ft.extension.exporters import Exporter
from ft.extension.installed import Chosen, Plugins, read_settings
from ft.extension.records import Preprocessing
from ft.extension.references import parse_reference

KEY = "format"


@dataclass(frozen=True)
class Wanted:
    """What `ft export` is asked for. `images` None is of any size where that can be; `max_drop` are points, in percent,
    by which a file in less than fp32 may be worse; `tta` are views of each image over which it is compared, too."""

    format: str
    precision: Precision = "fp32"
    images: Size | None = None
    max_drop: float = 1.0
    tta: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


def choose_exporter(wanted: Wanted, plugins: Plugins) -> Chosen[Exporter]:
    """Find the exporter. Raises FtError where there is none, for settings that it does not take, and for a precision
    that it does not write."""
    component = plugins.get("exporter", parse_reference(wanted.format))
    chosen: Chosen[Exporter] = Chosen(component, read_settings(component, dict(wanted.settings), KEY))
    can = ("fp32", *chosen.record.precisions)
    if wanted.precision not in can:
        raise FtError(f"--format {component.name} writes {', '.join(can)}, not {wanted.precision}")
    return chosen


def choose_size(wanted: Wanted, record: Exporter, preprocessing: Preprocessing) -> tuple[Size, str]:
    """Of which size the images are that the file takes, and why not of any. Raises FtError where --images any was asked
    for, and cannot be."""
    why = ""
    if not record.any_size:
        why = f"the format {record.name} does not carry the resize"
    elif not can_be_carried(preprocessing):
        why = f"{preprocessing.interpolation} is Pillow's resize, which no format carries"
    if wanted.images == "any" and why:
        raise FtError(f"--images any: {why}; leave it out, and the file takes images of the network's size")
    size = "network" if why or wanted.images == "network" else "any"
    return cast(Size, size), why
