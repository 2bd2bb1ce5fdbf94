"""What `ft export` prints."""

from __future__ import annotations

from pathlib import Path

from ft.exporting.records import ExportFile, Parity, Speed
from ft.extension.tasks import Figure
from ft.machine.display import Display
from ft.machine.layout import Columns, print_pairs, print_table, size
from ft.text.counting import number_of


def print_export(folder: Path, about: ExportFile, figure: Figure, display: Display) -> None:
    """How the file compares with ft, what it takes, and where it is."""
    side = about.model.preprocessing.crop_size
    size_ = "any size" if about.images == "any" else f"{side} x {side} px"
    print_pairs(
        [
            ("folder", str(folder)),
            ("file", f"{about.format}, {about.precision}, images of {size_}"),
            ("compared", f"on {number_of(about.parity.images, 'validation image')}: {_compared(about.parity)}"),
            *_over_views(about, figure),
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


def _compared(parity: Parity) -> str:
    return (
        f"{parity.equal_answers} of {parity.images} answers equal; outputs differ by {parity.largest_difference:.2g} "
        f"at most, of {parity.largest_output:.3g}"
    )


def _over_views(about: ExportFile, figure: Figure) -> list[tuple[str, str]]:
    """The same over several views of each image, where these were compared."""
    if (over := about.over_views) is None:
        return []
    return [("over views", f"--tta {over.tta}: {_compared(over.parity)}; {figure.title} {figure.written(over.figure)}")]


def _size(speed: Speed) -> str:
    return size(speed.size) if speed.size else ""


def taken(seconds: float) -> str:
    """A time as people read it.

    >>> taken(0.0665), taken(1.724)
    ('66.5 ms', '1.72 s')
    """
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
