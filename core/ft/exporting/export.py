"""The straight path from a finished run to a folder with its model in another form: written, compared, measured, and
only then there."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ft._version import __version__
from ft.config.schema import PREDICT_BATCH
from ft.data.turned import View, views_asked
from ft.errors import NotGoodEnough
from ft.exporting import by_ft
from ft.exporting.beside import GOLDEN, LONGEST, Golden, labels_text, preprocessing_text, write_check, write_golden
from ft.exporting.card import card_of, without_places
from ft.exporting.chosen import Wanted, choose_exporter, choose_size
from ft.exporting.images import MOST, Looked, outputs_by, pictures_of, small_enough
from ft.exporting.over_views import golden_views, outputs_over_views, views_of
from ft.exporting.parity import check_batch, compare, first_difference, refusal
from ft.exporting.portable import Making, output_names
from ft.exporting.prepare import Compute, Prepare
from ft.exporting.records import NAME, ExportFile, OverViews, Parity, Precision, Speed
from ft.exporting.speed import BATCH, seconds_for
from ft.exporting.used import Exported
from ft.extension.exporters import Exporter
from ft.extension.installed import Chosen, Plugins
from ft.inference.load import Trained, load_trained
from ft.machine.display import Display
from ft.machine.files import publish_text, whole_folder
from ft.machine.turns import running_a_network
from ft.reporting.finished import Finished, read_finished, targets_in
from ft.reporting.found import Found
from ft.run.folder import Run
from ft.task.evaluation import evaluate
from ft.text.counting import number_of

CALIBRATION = 128
"""Training images from which ranges are seen, drawn by chance."""
Outputs = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Work:
    """What an export works with: the run as its folder tells it, its model, the exporter, what is made portable, and
    the validation images with ft's outputs for them; the views that the run's augmentation has, and ft's outputs over
    those that are compared, too."""

    finished: Finished
    trained: Trained
    exporter: Chosen[Exporter]
    making: Making
    prepare: Prepare
    looked: Looked
    ours: Outputs
    views: tuple[View, ...]
    over_views: Outputs | None
    display: Display

    def write(self, folder: Path, precision: Precision) -> Compute:
        """Write the file of a precision into a folder, and load it as another program does."""
        self.display.say(f"writing {self.exporter.record.file} in {precision}")
        with running_a_network():
            self.exporter.implementation("export")(self.making.portable(precision), folder, self.exporter.settings)
        compute: Compute = self.exporter.implementation("load")(folder)
        return compute

    def outputs(self, compute: Compute) -> Outputs:
        """What a file gives for the validation images."""
        return outputs_by(compute, self.making.outputs[0], self.looked.pictures, self.prepare, self.display)

    def figure(self, outputs: Outputs) -> float:
        """The figure by which the task is judged, of outputs for the validation images."""
        task, images = self.trained.task, self.finished.images
        targets = targets_in([images[place] for place in self.looked.places], "val", task, self.trained.space)
        return evaluate([(torch.from_numpy(outputs), targets)], task, self.trained.space)[task.figures[0].name]


def export(run: Run, wanted: Wanted, out: Path | None, plugins: Plugins, display: Display, trust_code: bool) -> Path:
    """Write the model of a finished run into a new folder in another form; return the folder.

    The file is asked about the run's validation images by the program that it is for, and compared with ft. Raises
    NotGoodEnough where it is not equal or, in less than fp32, more than the wanted `max_drop` worse, and FtError for
    what the user can mend; there is no folder then.
    """
    exporter = choose_exporter(wanted, plugins)
    machine = {"device": "cpu", "precision": "fp32", "workers": "auto", "tta": wanted.tta}
    in_views = load_trained(run, plugins, machine, PREDICT_BATCH, trust_code)
    trained = replace(in_views, averaged=None)
    size, why = choose_size(wanted, exporter.record, trained.preprocessing)
    if why:
        display.say(f"the file takes images of {trained.preprocessing.crop_size} px: {why}")
    finished = read_finished(run, plugins, trust_code)
    views = views_of(finished, plugins, display)
    if wanted.tta is not None:
        views_asked(wanted.tta, views, str(run.path))
    found, prepare = Found(finished, plugins), Prepare(trained.preprocessing, size)
    texts = {
        "preprocessing.json": preprocessing_text(trained.preprocessing, size, output_names(trained), views),
        "labels.txt": labels_text(trained.space),
    }

    def calibration() -> Iterator[NDArray[Any]]:
        for picture in pictures_of(finished, found, "train", CALIBRATION, display).pictures:
            yield prepare(picture)[None]

    about = without_places(run.model_file()).model_dump_json(indent=2)
    making = Making(trained, size, texts, about, calibration)
    looked = pictures_of(finished, found, "val", MOST, display)
    ours = by_ft.of_pictures(trained, looked.pictures, display)
    over_views = by_ft.of_pictures(in_views, looked.pictures, display) if wanted.tta else None
    work = Work(finished, trained, exporter, making, prepare, looked, ours, views, over_views, display)
    place = out or run.path / f"export-{exporter.component.name}{_unless_usual(wanted.precision)}"
    with whole_folder(place) as folder:
        _export(work, wanted, folder)
    return place


def _export(work: Work, wanted: Wanted, folder: Path) -> None:
    images = [small_enough(work.prepare, picture, LONGEST) for picture in work.looked.pictures[:GOLDEN]]
    golden = _golden(work, images)
    name, precision = work.exporter.component.name, wanted.precision
    alone = by_ft.from_the_resize_on(work.trained, work.making.size == "any")
    speeds = [_speed("ft", None, alone, images[0], work.figure(work.ours))]
    compute = work.write(folder, "fp32")
    outputs = work.outputs(compute)
    parity = compare(work.ours, outputs, work.trained)
    if not parity.largest_difference <= parity.tolerance:
        raise refusal(parity, first_difference(work.making, work.exporter, images[0][None]), name)
    check_batch(compute, work.making.outputs[0], images[0], parity.tolerance)
    before = work.figure(outputs)
    speeds.append(_speed(f"{name} fp32", folder / work.exporter.record.file, compute, images[0], before))
    tolerance = parity.tolerance
    if precision != "fp32":
        shutil.rmtree(folder)
        folder.mkdir()
        compute = work.write(folder, precision)
        outputs = work.outputs(compute)
        parity = compare(work.ours, outputs, work.trained)
        after = work.figure(outputs)
        _refuse_drop(work, before, after, wanted)
        file = folder / work.exporter.record.file
        speeds.append(_speed(f"{name} {precision}", file, compute, images[0], after))
        theirs = np.concatenate([np.asarray(compute(each[None])[work.making.outputs[0]]) for each in images])
        tolerance = 2 * max(parity.largest_difference, float(np.abs(golden - theirs).max()), parity.tolerance)
    about, beside = _about(work, wanted, parity, tuple(speeds)), Golden(images, golden, tolerance)
    if wanted.tta is not None:
        asked = Exported(folder, about, work.trained.task, compute, BATCH, 0, wanted.tta)
        about = about.model_copy(update={"over_views": _compared_over_views(work, asked)})
        beside = _with_views(beside, work, asked)
    for file_name, text in work.making.texts.items():
        publish_text(folder / file_name, text)
    write_golden(folder, beside)
    write_check(folder, work.exporter.record, work.making.outputs, beside)
    _write_splits(folder, work.finished)
    publish_text(folder / NAME, about.model_dump_json(indent=2) + "\n")
    publish_text(folder / "README.md", card_of(work.finished, about, work.exporter.record))


def _compared_over_views(work: Work, asked: Exported) -> OverViews:
    """How an exported model that is asked in several views compares with ft. Raises NotGoodEnough where it is not equal
    in fp32."""
    assert work.over_views is not None
    assert asked.tta is not None
    outputs = outputs_over_views(asked, work.looked.pictures, work.display)
    parity = compare(work.over_views, outputs, work.trained)
    if asked.about.precision == "fp32" and not parity.largest_difference <= parity.tolerance:
        where = f"That is over the views of --tta {asked.tta}; asked once about each image, it is equal."
        raise refusal(parity, where, work.exporter.component.name)
    return OverViews(tta=asked.tta, parity=parity, figure=work.figure(outputs))


def _with_views(golden: Golden, work: Work, asked: Exported) -> Golden:
    """The same with views of some images, and what ft gives for each of them; in less than fp32, with as much tolerance
    as these take."""
    views = golden_views(asked, work.looked.pictures[:GOLDEN], 2 * GOLDEN)
    ours = np.stack([_golden(work, [*each]) for each in views])
    tolerance = golden.tolerance
    if asked.about.precision != "fp32":
        theirs = np.stack([np.asarray(asked.compute(each)[work.making.outputs[0]]) for each in views])
        tolerance = max(tolerance, 2 * float(np.abs(ours - theirs).max()))
    return replace(golden, tolerance=tolerance, views=views, view_outputs=ours)


def _golden(work: Work, images: Sequence[NDArray[np.uint8]]) -> Outputs:
    return by_ft.of_arrays(work.trained, images, work.making.size == "any")


def _speed(what: str, file: Path | None, compute: Compute, image: NDArray[np.uint8], figure: float) -> Speed:
    one, batch = seconds_for(compute, image)
    size = None if file is None else sum(each.stat().st_size for each in file.parent.glob(f"{file.stem}.*"))
    return Speed(what=what, size=size, one=one, batch=batch, figure=figure)


def _refuse_drop(work: Work, before: float, after: float, wanted: Wanted) -> None:
    """Raise NotGoodEnough where a figure got worse by more than the wanted points."""
    figure = work.trained.task.figures[0]
    worse = before - after if figure.larger_is_better else after - before
    share = figure.form.endswith("%")
    drop = 100 * (worse if share else worse / max(abs(before), 1e-12))
    if not drop <= wanted.max_drop:
        images = number_of(len(work.looked.places), "validation image")
        unit = "points" if share else "%"
        raise NotGoodEnough(
            f"in {wanted.precision} the {figure.title} on {images} goes from {figure.written(before)} to "
            f"{figure.written(after)}: {drop:.2g} {unit} worse, and --max-drop allows {wanted.max_drop:g}. Nothing was "
            "written. Allow more, or take another --precision"
        )


def _about(work: Work, wanted: Wanted, parity: Parity, speeds: tuple[Speed, ...]) -> ExportFile:
    return ExportFile(
        format=work.exporter.component.name,
        precision=wanted.precision,
        images=work.making.size,
        outputs=work.making.outputs,
        views=work.views,
        model=without_places(work.finished.run.model_file()),
        parity=parity,
        figure=work.trained.task.figures[0].name,
        batch=BATCH,
        speeds=speeds,
        versions={"ft": __version__, "python": platform.python_version(), "torch": str(torch.__version__)},
    )


def _write_splits(folder: Path, finished: Finished) -> None:
    """Publish images.csv with the digests and splits of the run's images alone, by which `ft evaluate` knows them."""
    lines = [f",,{image.split},{image.digest}\n" for image in finished.images]
    publish_text(folder / "images.csv", "".join(["path,label,split,sha256\n", *lines]))


def _unless_usual(precision: Precision) -> str:
    return "" if precision == "fp32" else f"-{precision}"
