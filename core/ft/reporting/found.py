"""Where the images of a run are now: those of its list, found again by name; and why one cannot be shown."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from ft.data.image_failures import failure_of
from ft.data.image_list import listed_name
from ft.data.pictures import Content, Picture, content_digest, picture_of
from ft.data.samples import read_samples
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.reporting.finished import Finished

GONE = "it is no longer there"
CHANGED = "it has changed since the run"


class Found:
    """The images of a run, by their numbers in its list.

    Files are looked for where they were; what is no file, as in an archive, is asked of the data source, once and only
    where it is needed: from the folder in which the run was started.
    """

    def __init__(self, finished: Finished, plugins: Plugins) -> None:
        self._images, self._config, self._plugins = finished.images, finished.config, plugins
        self._started_in = finished.run.started_in()

    def picture(self, place: int) -> Picture | None:
        """An image, or None where it is no longer there."""
        name = self._images[place].path
        if os.path.isabs(name) and os.path.isfile(name):
            return Picture.at(Path(name))
        return self._of_source.get(name)

    def content(self, place: int) -> Content | str:
        """What an image holds, if it is what it was when the run began; else why not."""
        picture = self.picture(place)
        if picture is None:
            return GONE
        try:
            content = picture.read()
        except Exception as error:  # as where images are read: whatever is wrong with it, the others are shown
            return failure_of(error, picture.name)
        return content if content_digest(content) == self._images[place].digest else CHANGED

    def is_unchanged(self, place: int) -> bool:
        """Whether an image is there, and what it was when the run began."""
        picture = self.picture(place)
        try:
            return picture is not None and picture.digest() == self._images[place].digest
        except (OSError, ValueError):
            return False

    @cached_property
    def _of_source(self) -> Mapping[str, Picture]:
        try:
            with contextlib.chdir(self._started_in):
                samples = read_samples(self._config.data, self._plugins, self._config.split.group).samples
        except FtError:  # the data are elsewhere now, or their source is not installed: nothing is found
            return {}
        return {listed_name(picture): picture for picture in map(picture_of, samples.values())}
