"""`tensorboard`: curves for TensorBoard, as torch writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

import ft
from ft import Event, RunEnded, RunFailed, RunStarted
from ft_trackers.program import following, need


class Settings(ft.Settings):
    folder: str = Field("tensorboard", min_length=1, description="where, from the run's folder")


def track(settings: Settings) -> Callable[[Event], None]:
    """Write a run's figures, config and report for `tensorboard --logdir RUN`. Raises FtError without the library."""
    need("tensorboard", "tensorboard")
    return following(_TensorBoard(settings))


class _TensorBoard:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self, event: RunStarted) -> bool:
        from torch.utils.tensorboard import SummaryWriter

        folder = event.folder / self.settings.folder
        known = folder.is_dir()
        # What an earlier attempt wrote of epochs that come now is passed over by TensorBoard.
        self.writer: Any = SummaryWriter(str(folder), purge_step=len(event.history) + 1 if known else None)
        self.writer.add_text("config", _as_code(event.config), len(event.history))
        self.writer.flush()
        return known

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(tag(name), value, number)
        self.writer.flush()

    def end(self, event: RunEnded | RunFailed) -> None:
        if isinstance(event, RunEnded):
            for path in event.files:
                if path.suffix == ".json":
                    self.writer.add_text(path.name, _as_code(json.loads(path.read_bytes())), event.report.epochs)
        self.writer.close()


def tag(name: str) -> str:
    """A figure's name with the group in which TensorBoard shows it: training beside validation.

    >>> tag("val_macro_f1"), tag("lr")
    ('macro_f1/val', 'lr')
    """
    return re.sub(r"^(train|val)_(.*)", r"\2/\1", name)


def _as_code(content: Any) -> str:
    """JSON as TensorBoard's Markdown shows it as it is."""
    return "\n".join(f"    {line}" for line in json.dumps(content, indent=2, ensure_ascii=False).splitlines())
