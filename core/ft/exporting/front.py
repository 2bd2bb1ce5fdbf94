"""`ft.export`: what `ft export` does, for people who write Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ft.config.run_folders import folder_meant
from ft.errors import FtError
from ft.exporting.chosen import Wanted
from ft.exporting.export import export as export_run
from ft.exporting.records import NAME, ExportFile, Precision, Size
from ft.exporting.text import print_export
from ft.extension.installed import load_plugins, troubles
from ft.extension.tasks import Figure
from ft.machine.display import Display
from ft.machine.ownership import strange_run
from ft.machine.python_display import PythonDisplay, printed
from ft.run.folder import Run
from ft.run.records import read_record
from ft.task.chosen import choose_task


class Asked(TypedDict, total=False):
    """What may be asked for; without it, it is as the command says. `settings` are those of the format."""

    out: str | os.PathLike[str]
    precision: Precision
    max_drop: float
    images: Size
    tta: str
    settings: Mapping[str, Any]
    trust_code: bool
    verbose: bool


@dataclass(frozen=True, repr=False)
class ExportedModel:
    """A model that was exported: its folder (an absolute path), and what export.json in it says. Where a folder is
    asked for, it stands for it; `print` shows what `ft export` prints."""

    path: Path
    about: ExportFile
    figure: Figure

    def show(self, display: Display) -> None:
        """Print it."""
        print_export(self.path, self.about, self.figure, display)

    def __str__(self) -> str:
        return printed(self.show)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"<{self.about.format} in {self.about.precision} in {self.path}>"


def export(run: str | os.PathLike[str], format: str, /, **asked: Unpack[Asked]) -> ExportedModel:
    """Write the model of a finished run in a form that other programs read, as "onnx", and prove that it answers as ft
    does, as `ft export` does.

    Keywords are `out`, a new folder, `precision`, `max_drop`, `images`, `tta`, `settings`, `trust_code` and, to print
    what is done meanwhile, `verbose`. Raises FtError for what the user can mend, and where the file is not equal, or
    too much worse: its `exit_code` is then 3.
    """
    if asked.get("precision", "fp32") == "fp32" and "max_drop" in asked:
        raise FtError("max_drop is for fp16 and int8; a file in fp32 has to be equal. Leave it out")
    display, plugins = PythonDisplay(asked.get("verbose", False)), load_plugins()
    folder = folder_meant(Path(run))
    for warning in (*troubles(plugins), *strange_run(folder)):
        display.warn(warning)
    keys = ("precision", "max_drop", "images", "tta", "settings")
    wanted = Wanted(format, **{key: asked[key] for key in keys if key in asked})  # type: ignore[literal-required]
    out = Path(asked["out"]) if "out" in asked else None
    made = export_run(Run(folder), wanted, out, plugins, display, asked.get("trust_code", False))
    about = read_record(made / NAME, ExportFile)
    return ExportedModel(made.absolute(), about, choose_task(about.model.task, plugins).figure(about.figure))
