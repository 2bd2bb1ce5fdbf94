"""`wandb`: figures, config and files of a run for Weights & Biases."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

import ft
from ft import Event, RunEnded, RunFailed, RunStarted
from ft_trackers.program import following, name_of, need, remember, remembered, variables


class Settings(ft.Settings):
    project: str = Field("ft", min_length=1, description="the project that the run belongs to")
    entity: str | None = Field(None, description="the user or team that the project belongs to; default: your own")
    mode: Literal["offline", "online"] = Field(
        "offline", description="offline: into the run's folder, for wandb sync; online: also to the server, after login"
    )


def track(settings: Settings) -> Callable[[Event], None]:
    """Hand a run to Weights & Biases: its figures, config and small files. Raises FtError without the library.

    Offline, everything is in the run's folder, and nothing is sent before `wandb sync RUN/wandb/wandb/offline-run-*`.
    """
    need("wandb", "wandb")
    return following(_Wandb(settings))


class _Wandb:
    def __init__(self, settings: Settings) -> None:
        self.settings, self.folder = settings, Path()

    def start(self, event: RunStarted) -> bool:
        self.folder = (event.folder / "wandb").absolute()
        self.folder.mkdir(exist_ok=True)
        known = remembered(self.folder)
        name = known or secrets.token_hex(4)
        with self._at_home():
            import wandb

            quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True)
            self.run: Any = wandb.init(
                project=self.settings.project,
                entity=self.settings.entity,
                name=name_of(event.folder),
                id=name,
                resume="allow",
                mode=self.settings.mode,
                dir=str(self.folder),
                config=dict(event.config),
                settings=quiet,
            )
        remember(self.folder, name)
        return known is not None

    def _at_home(self) -> AbstractContextManager[None]:
        """A block in which its caches and logs, too, go into the run's folder; the login stays where it is."""
        cache = str(self.folder / "cache")
        return variables(WANDB_CACHE_DIR=cache, WANDB_DATA_DIR=cache, WANDB_ERROR_REPORTING="false")

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        self.run.log(dict(figures), step=number)

    def end(self, event: RunEnded | RunFailed) -> None:
        with self._at_home():
            if isinstance(event, RunEnded):
                import wandb

                files = wandb.Artifact(f"report-{self.run.id}", type="report")
                for path in event.files:
                    files.add_file(str(path))
                self.run.log_artifact(files)
            self.run.finish(0 if isinstance(event, RunEnded) else 1)
