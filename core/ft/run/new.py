"""The folder of a new run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ft.config.schema import Config
from ft.errors import FtError
from ft.machine.files import explained
from ft.run.folder import Run, go_on_with
from ft.text.names import as_text
from ft.text.redaction import shown


def start_run(config: Config, versions: Mapping[str, Any], again: Run | None = None) -> Run:
    """Make the run's folder and write down what was asked for; a run without a checkpoint begins `again` in its own.

    Raises FtError when the folder is taken.
    """
    run = again or Run(new_folder(config))
    run.write_json("versions.json", {**versions, "started_in": str(Path.cwd())})
    run.write_config(config)  # last: now it can be resumed
    return run


def new_folder(config: Config) -> Path:
    """Make the folder that a config names, or one that is free. Raises FtError when it is taken."""
    return make_folder(config.run_dir, "--run-dir") if config.run_dir else free_folder(config.backbone.use)


def make_folder(path: Path, flag: str) -> Path:
    """Make a folder for a model, as a `flag` names it. Raises FtError when it is taken, or tensors cannot lie there."""
    check_free(path, flag)
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def check_free(path: Path, flag: str) -> None:
    """Raise FtError for a folder that is taken, and for one in which tensors cannot lie."""
    if (told := as_text(str(path.absolute()))) != str(path.absolute()):
        raise FtError(f"{told} is no UTF-8, and tensors cannot be read from there; choose another {flag}")
    if path.exists() and not path.is_dir():
        raise FtError(f"{path} is a file; choose another {flag}")
    if path.exists() and any(path.iterdir()):
        go_on = f"continue it with: {go_on_with(path)}, or " if (path / "config.yaml").exists() else ""
        raise FtError(f"{path} is not empty; {go_on}choose another {flag}")


def free_folder(backbone: str, ending: str = "") -> Path:
    """Make a folder in `runs` whose name says when something began, and with which backbone. Nobody else makes the
    same, however many begin in one second. Raises FtError where none can be made."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^A-Za-z0-9._-]+', '-', shown(backbone)).strip('-')}{ending}"
    for number in range(1000):
        path = Path("runs") / (f"{stem}-{number}" if number else stem)
        with explained(path), suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise FtError("no folder can be made in 'runs', which leads nowhere or is full; name another with --run-dir")
