"""What `ft export` prints."""

from __future__ import annotations

from pathlib import Path

from ft.exporting.records import ExportFile, Speed
from ft.extension.tasks import Figure
from ft.machine.display import Display
from ft.machine.layout import Columns, print_pairs, print_table, size
from ft.text.counting import number_of


def print_export(folder: Path, about: ExportFile, figure: Figure, display: Display) -> None:
    """How the file compares with ft, what it takes, and where it is."""
    parity, side = about.parity, about.model.preprocessing.crop_size
    size_ = "any size" if about.images == "any" else f"{side} x {side} px"
    print_pairs(
        [
            ("folder", str(folder)),
            ("file", f"{about.format}, {about.precision}, images of {size_}"),
            (
                "compared",
                f"on {number_of(parity.images, 'validation image')}: {parity.equal_answers} of {parity.images} answers "
                f"equal; outputs differ by {parity.largest_difference:.2g} at most, of {parity.largest_output:.3g}",
            ),
        ],
        display.out,
        folded=True,
    )
    display.tell("")
    rows = [
        (each.what, _size(each), taken(each.one), taken(each.batch), figure.written(each.figure))
        for each in about.speeds
    ]
    headers = ("", "size", "one image", f"batch of {about.batch}", figure.title)
    print_table(headers, rows, Columns(right=headers[1:]), display.out)


def _size(speed: Speed) -> str:
    return size(speed.size) if speed.size else ""


def taken(seconds: float) -> str:
    """A time as people read it.

    >>> taken(0.0665), taken(1.724)
    ('66.5 ms', '1.72 s')
    """
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
