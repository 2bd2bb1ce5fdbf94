"""What lies beside an exported file: how images are prepared, the labels, golden images, a check of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft.data.resizing import mean_colour
from ft.data.turned import View
from ft.exporting.records import Size
from ft.extension.exporters import Exporter
from ft.extension.records import Preprocessing
from ft.extension.tasks import LabelSpace
from ft.machine.files import publish, publish_text
from ft.text.counting import number_of
from ft.text.names import as_text

GOLDEN = 8
"""Images that are kept beside a file."""
LONGEST = 512
"""Pixels of their longer side."""
_CHECK = '''"""Ask this model about its golden images, and compare: python check.py"""

import sys
from pathlib import Path

$imports

folder = Path(__file__).resolve().parent
golden = np.load(folder / "golden.npz")
$use


worst = 0.0
for number, expected in enumerate(golden["outputs"]):
    worst = max(worst, float(np.abs(model(golden[f"image_{number}"][None])[0] - expected).max()))
${views}tolerance = float(golden["tolerance"])
asked = "$asked"
print(f"{asked}: the largest difference is {worst:.3g}; {tolerance:.3g} is borne")
sys.exit(worst > tolerance)
'''
_VIEWS = """for number, expected in enumerate(golden["view_outputs"]):
    worst = max(worst, float(np.abs(model(golden[f"views_{number}"]) - expected).max()))
"""


@dataclass(frozen=True, eq=False)
class Golden:
    """Images that are kept beside a file, each [H, W, 3], and ft's outputs [N, K] for them; the views of some images,
    each [V, H, W, 3], and ft's outputs [M, V, K] for these, where views are compared; and how far apart outputs may
    be."""

    images: Sequence[NDArray[np.uint8]]
    outputs: NDArray[np.float32]
    tolerance: float
    views: Sequence[NDArray[np.uint8]] = ()
    view_outputs: NDArray[np.float32] | None = None


def preprocessing_text(
    preprocessing: Preprocessing, size: Size, outputs: Sequence[str], views: Sequence[View] = ()
) -> str:
    """What preprocessing.json says: every number by which an image becomes what the network sees, who does what, what
    comes out, and in which `views` else the square may be asked about."""
    side = preprocessing.crop_size
    steps: list[dict[str, Any]] = []
    resize = {"interpolation": preprocessing.interpolation, "antialias": True}
    if preprocessing.fit == "crop":
        steps += [{"step": "resize", "shorter_side": preprocessing.resize_size, **resize}]
        steps += [{"step": "crop the centre", "height": side, "width": side}]
    elif preprocessing.fit == "squash":
        steps += [{"step": "resize", "height": side, "width": side, **resize}]
    else:
        steps += [{"step": "resize", "longer_side": side, **resize}]
        steps += [{"step": "fill up to a square, the image in the middle", "side": side}]
        steps[-1]["colour"] = mean_colour(preprocessing)
    before = len(steps)
    steps += [{"step": "divide by 255"}]
    steps += [{"step": "subtract the mean, divide by the deviation", "mean": preprocessing.mean}]
    steps[-1]["std"] = preprocessing.std
    inside = steps if size == "any" else steps[before:]
    about = {
        "input": {
            "name": "images",
            "dtype": "uint8",
            "layout": "NHWC",
            "colours": "RGB",
            "height": "any" if size == "any" else side,
            "width": "any" if size == "any" else side,
            "upright": "turned as the EXIF data of its file say",
        },
        "before_the_file": [] if size == "any" else steps[:before],
        "in_the_file": inside,
        "outputs": list(outputs),
    }
    if preprocessing.value_range is not None:
        about["values_of_more_than_8_bits"] = {
            "black": preprocessing.value_range[0],
            "white": preprocessing.value_range[1],
        }
    if views:
        about["views"] = [asdict(each) for each in views]
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"


def labels_text(space: LabelSpace) -> str:
    """What labels.txt says: the names, one a line, in the order of the outputs."""
    return "".join(f"{' '.join(as_text(name).splitlines())}\n" for name in space.names)


def write_golden(folder: Path, golden: Golden) -> None:
    """Publish golden.npz: image_0 and so on, their `outputs`, and the `tolerance`; views_0 and so on, and their
    `view_outputs`, where there are any."""
    arrays: dict[str, Any] = {f"image_{number}": image for number, image in enumerate(golden.images)}
    arrays |= {f"views_{number}": views for number, views in enumerate(golden.views)}
    if golden.view_outputs is not None:
        arrays["view_outputs"] = golden.view_outputs
    with publish(folder / "golden.npz") as file:
        np.savez_compressed(file, outputs=golden.outputs, tolerance=np.float32(golden.tolerance), **arrays)


def write_check(folder: Path, record: Exporter, outputs: Sequence[str], golden: Golden) -> None:
    """Publish check.py, which needs numpy and the program that the file is for."""
    imports, use = use_of(record, outputs)
    imports = "\n".join(sorted([*imports.splitlines(), "import numpy as np"], key=lambda line: line.split()[1]))
    in_views = f", {len(golden.views)} of them in {len(golden.views[0])} views, too" if golden.views else ""
    asked, views = f"{number_of(len(golden.images), 'image')}{in_views}", _VIEWS if golden.views else ""
    publish_text(folder / "check.py", Template(_CHECK).substitute(imports=imports, use=use, views=views, asked=asked))


def use_of(record: Exporter, outputs: Sequence[str]) -> tuple[str, str]:
    """The imports, and the lines that define `model(images)`, of how a file is used."""
    text = Template(record.use).safe_substitute(output=outputs[0], outputs='", "'.join(outputs))
    imports, _, use = text.strip().partition("\n\n")
    return imports, use
