"""elpv: solar cells of two crystals, which experts judged functional or defective (Buerhop-Lutz et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import Field

import ft
from ft import FtError, Label, Sample


class Settings(ft.Settings):
    threshold: float = Field(0.5, gt=0, le=1, description="a cell is defective from this probability on")
    type: Literal["all", "mono", "poly"] = Field("all", description="cells of which crystal: mono, poly, or all")
    label: Literal["defective", "probability", "type", "both"] = Field(
        "defective",
        description="what is said of a cell: defective or functional; the probability of that, as a number; its "
        "crystal; or both, defective and monocrystalline, each 0 or 1, for --task multilabel",
    )


def load(argument: str | None, settings: Settings) -> Iterator[Sample]:
    """Yield the cells with the label that is asked for, none of them opened. Raises FtError without elpv-dataset."""
    if argument:
        raise FtError(f"elpv takes no argument ('{argument}'); choose cells with --set data.type=mono")
    folder = _data_folder()
    for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines():
        path, probability, crystal = line.split()  # four judgements occur: 0, 1/3, 2/3 and 1
        if settings.type in ("all", crystal):
            yield Sample(folder / path, _label(probability, crystal, settings))


def _label(probability: str, crystal: str, settings: Settings) -> Label:
    defective = float(probability) >= settings.threshold
    if settings.label == "both":
        return {"defective": str(int(defective)), "monocrystalline": str(int(crystal == "mono"))}
    if settings.label == "probability":
        return probability
    return crystal if settings.label == "type" else "defective" if defective else "functional"


def _data_folder() -> Path:
    spec = find_spec("elpv_dataset")  # found, not imported: importing it is not needed to know where its files are
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "data"
        if (folder / "labels.csv").is_file():
            return folder
    raise FtError("the ELPV photographs are not installed; pip install elpv-dataset")
