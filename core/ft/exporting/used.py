"""An exported model in place of a run: the same answers, by the program that its file is for. This loads no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ft.config.split import SplitConfig
from ft.config.use import UseConfig
from ft.data.image_failures import failure_of
from ft.data.pictures import Picture
from ft.data.turned import TOGETHER, View, views_asked
from ft.errors import FtError
from ft.exporting.prepare import Compute, Prepare, batches_of
from ft.exporting.records import NAME, ExportFile
from ft.extension.installed import Plugins, implementation
from ft.extension.records import Preprocessing
from ft.extension.references import parse_reference
from ft.extension.tasks import Answer, LabelSpace
from ft.extension.unpackaged import refuse_unpackaged
from ft.inference.prediction import UNCERTAINTY, Prediction, no_number
from ft.machine.display import Display
from ft.machine.files import sha256_of
from ft.machine.memory import explained_shortage
from ft.run.records import read_record
from ft.task.chosen import ChosenTask, choose_task
from ft.text.counting import number_of
from ft.text.reading import check_plain

if TYPE_CHECKING:
    from ft.extension.exporters import Exporter


def is_exported(folder: Path) -> bool:
    """Whether a folder holds an exported model that only its own program computes; one from which ft rebuilds the model
    has a model.json, as a run's."""
    return (folder / NAME).is_file() and not (folder / "model.json").is_file()


@dataclass(frozen=True, eq=False)
class Exported:
    """The model in a folder of `ft export`, ready to use, in batches that so many `workers`, threads, decode. With
    `tta` it answers to several views of each image, averaged."""

    folder: Path
    about: ExportFile
    task: ChosenTask
    compute: Compute
    batch_size: int
    workers: int
    tta: str | None = None

    @property
    def space(self) -> LabelSpace:
        return self.about.model.space

    @property
    def preprocessing(self) -> Preprocessing:
        return self.about.model.preprocessing

    @property
    def image_list(self) -> Path:
        """The table of the digests of the run's images, which says in what splits they were."""
        return self.folder / "images.csv"

    @property
    def split(self) -> SplitConfig:
        """How the run split its images."""
        return self.about.model.split

    @property
    def decided_by(self) -> dict[str, Any]:
        """What its answers follow from, beside the images, by names that people know; the model by its content."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {"model": [sha256_of(path) for path in files], "--tta": self.tta, "--batch-size": self.batch_size}

    def like(self) -> Answer:
        """An answer as an image might get it, which shows what all of them hold."""
        return self.task.answers(np.zeros((1, self.space.outputs), np.float32), self.space)[0]

    def predict(
        self, pictures: Sequence[Picture], display: Display, uncertainty: bool = False
    ) -> Iterator[list[Prediction]]:
        """Yield the answers for images, in the order of `pictures` and batch by batch, or why there is none."""
        done = 0
        for some in self.outputs_or_why(pictures, display):
            there = [each for each in some if not isinstance(each, str)]
            answers = iter(self.task.answers(np.stack(there), self.space) if there else ())
            told = iter(self._uncertain(there) if uncertainty and there else [{}] * len(there))
            yield [
                Prediction(each, None, row) if isinstance(row, str) else Prediction(each, next(answers), "", next(told))
                for each, row in zip(pictures[done : done + len(some)], some, strict=True)
            ]
            done += len(some)

    def outputs_or_why(
        self, pictures: Sequence[Picture], display: Display
    ) -> Iterator[list[NDArray[np.float32] | str]]:
        """Yield the outputs [K] for each picture, in their order and batch by batch, or why there are none."""
        prepare = self.prepare
        with (
            ExitStack() as stack,
            explained_shortage("Try a smaller --batch-size"),
            display.progress("asking the exported model", len(pictures), unit="images") as bar,
        ):
            threads = stack.enter_context(ThreadPoolExecutor(self.workers)) if self.workers else None
            answered = 0
            for read in _read(pictures, prepare, self.batch_size, threads):
                yield self.computed(read, [each.name for each in pictures[answered : answered + len(read)]])
                answered += len(read)
                bar.advance(answered)

    @property
    def prepare(self) -> Prepare:
        """What makes of a picture the array that is asked about."""
        return Prepare(self.preprocessing, self.about.images, self.views)

    @property
    def views(self) -> tuple[View, ...]:
        """The views of each image that it is asked about; none where that is the image as it is."""
        return views_asked(self.tta, self.about.views, str(self.folder)) if self.tta else ()

    def computed(
        self, read: Sequence[NDArray[np.uint8] | str], names: Sequence[str]
    ) -> list[NDArray[np.float32] | str]:
        """The outputs [K] for each array of what was read of pictures of these `names`, or why there are none."""
        arrays = iter([each for each in read if not isinstance(each, str)])
        rows = (row for some in batches_of(arrays, self.batch_size) for row in self._rows(np.stack(some)))
        found: list[NDArray[np.float32] | str] = []
        for each, picture_name in zip(read, names, strict=True):
            row = each if isinstance(each, str) else np.asarray(next(rows), np.float32)
            found.append(row if isinstance(row, str) or np.isfinite(row).all() else no_number(picture_name))
        return found

    def _rows(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The outputs [N, K] for images [N, H, W, 3] of one size, averaged where they are asked about in views."""
        views, seen_in = self.views, self.prepare.seen_in
        if not views:
            return self._outputs(images)
        every = [
            self._outputs(np.concatenate([seen_in(view, images) for view in views[begin : begin + TOGETHER]]))
            for begin in range(0, len(views), TOGETHER)
        ]
        return self.task.average_arrays(np.concatenate(every).reshape(len(views), len(images), -1), self.space)

    def _outputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found, name = self.compute(images), self.about.outputs[0]
        rows = np.asarray(found[name], np.float32) if name in found else np.empty(0, np.float32)
        if rows.shape != (wanted := (len(images), self.space.outputs)):
            shape, asked = list(rows.shape) if name in found else "missing", number_of(len(images), "image")
            raise FtError(
                f"{self.folder}: the output '{name}' of {asked} is {shape}, not {list(wanted)} as {NAME} says; was one "
                "of them edited? Export it again"
            )
        return rows

    def _uncertain(self, rows: Sequence[NDArray[np.float32]]) -> list[dict[str, float | bool]]:
        import torch  # what a task says of uncertainty is torch's

        values = self.task.uncertainty(torch.from_numpy(np.stack(rows)), self.space).tolist()
        return [{UNCERTAINTY: value} for value in values]


def load_exported(folder: Path, plugins: Plugins, use: UseConfig, trust_code: bool) -> Exported:
    """Load the model in a folder of `ft export`. Raises FtError where its exporter or task is not installed, or what
    the exporter needs, where the task is code that is not to be trusted, and for views that no folder holds."""
    about = read_record(folder / NAME, ExportFile)
    if use.tta:
        views_asked(use.tta, about.views, str(folder))
    if not trust_code:
        refuse_unpackaged([about.model.task.use, about.format], f"{folder / NAME}")
    plugins = plugins.preferring(about.model.prefer)
    component = plugins.get("exporter", parse_reference(about.format))
    record: Exporter = component.record
    file = folder / record.file
    if not file.exists():
        raise FtError(f"{folder} lacks {record.file}; export it again, or copy the whole folder")
    try:
        check_plain(file)
    except OSError as error:
        raise FtError(f"cannot read {file}: {error.strerror or error}") from error
    try:
        compute: Any = implementation(component, "load")(folder)
    except FtError:
        raise
    except Exception as error:  # of a runtime that is not ft's, as the file may be anybody's
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise FtError(f"{file} cannot be loaded as {about.format}: {reason}; export it again") from error
    task = choose_task(about.model.task, plugins)
    threads = (os.cpu_count() or 1) if use.workers == "auto" else use.workers
    return Exported(folder, about, task, compute, use.batch_size, threads, use.tta)


def _read(
    pictures: Sequence[Picture], prepare: Prepare, together: int, threads: Executor | None
) -> Iterator[list[NDArray[np.uint8] | str]]:
    """Yield what is read of pictures, in their order and so many together; while some are used, the next are read."""

    def read(picture: Picture) -> NDArray[np.uint8] | str:
        try:
            return prepare(picture)
        except Exception as error:  # as where a run's model is asked: whatever is wrong with it, the others are read
            return f"cannot read the image {picture.name}: {failure_of(error, picture.name)}"

    todo = iter(pictures)
    if threads is None:
        while some := list(islice(todo, together)):
            yield list(map(read, some))
        return
    ahead = [threads.submit(read, each) for each in islice(todo, together)]
    while ahead:
        now, ahead = ahead, [threads.submit(read, each) for each in islice(todo, together)]
        yield [each.result() for each in now]
