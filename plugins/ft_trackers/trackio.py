"""`trackio`: figures, config and files of a run for Trackio."""

from __future__ import annotations

import contextlib
import io
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

import ft
from ft import Event, FtError, RunEnded, RunFailed, RunStarted
from ft_trackers.program import following, name_of, need, remember, remembered, variables


class Settings(ft.Settings):
    project: str = Field("ft", min_length=1, description="the project that the run belongs to")
    folder: str = Field("", description="where Trackio keeps projects; default: trackio in the run's folder")


def track(settings: Settings) -> Callable[[Event], None]:
    """Hand a run to Trackio: its figures, config and small files. Raises FtError without the library.

    It is kept on this machine; `TRACKIO_DIR=RUN/trackio trackio show --project ft` shows it.
    """
    need("trackio", "trackio")
    return following(_Trackio(settings))


class _Trackio:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self, event: RunStarted) -> bool:
        own = (event.folder / "trackio").absolute()
        own.mkdir(exist_ok=True)
        trackio = _imported(Path(self.settings.folder).absolute() if self.settings.folder else own)
        known = remembered(own)
        with _quiet():
            self.run: Any = trackio.init(
                project=self.settings.project,
                name=known or name_of(event.folder),
                config=dict(event.config),
                resume="allow" if known else "never",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        remember(own, self.run.name)
        return known is not None

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        with _quiet():
            self.run.log(dict(figures), step=number)

    def end(self, event: RunEnded | RunFailed) -> None:
        with _quiet():
            import trackio

            if isinstance(event, RunEnded):
                files = trackio.Artifact(re.sub(r"[^A-Za-z0-9._-]+", "-", f"report-{self.run.name}"), type="report")
                for path in event.files:
                    files.add_file(str(path))
                self.run.log_artifact(files)
            trackio.finish()


def _imported(folder: Path) -> Any:
    """The library, which learns where to keep things when it is imported, and never again."""
    with variables(TRACKIO_DIR=str(folder)):
        import trackio
        from trackio.utils import TRACKIO_DIR
    if Path(TRACKIO_DIR) != folder:
        raise FtError(
            f"Trackio writes to {TRACKIO_DIR} for as long as this process lives; give that folder to all of its runs, "
            "or each a process of its own"
        )
    return trackio


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A block whose output nobody sees, standard output being for results, and after which the random numbers, from
    which Trackio draws, are as they were."""
    state = random.getstate()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        random.setstate(state)
