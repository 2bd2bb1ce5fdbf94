"""Which task a config names, with its settings, and what it makes of labels and outputs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ft.config.component import ComponentConfig
from ft.config.training import TrainingConfig, changed
from ft.errors import FtError, did_you_mean
from ft.extension.extensions import Task
from ft.extension.installed import Chosen, Plugins, read_settings, settings_class
from ft.extension.records import Remark
from ft.extension.references import parse_reference
from ft.extension.sections import Section
from ft.extension.tasks import Answer, Figure, Label, LabelSpace, Loss, Meter, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

KEY = "task"
LOSS = Figure("loss", "loss", ".4f", larger_is_better=False)
"""The figure that every task has."""
OLDER = ("label_smoothing", "class_weights")
"""Settings of tasks that were keys of `training`, and still may be for a release."""
Count = Callable[["Tensor", "Tensor"], "Tensor"]
"""From outputs [N, K] and targets [N, ...] to a value for each image [N]."""
Measure = Callable[..., Mapping[str, float]]
"""From outputs [N, K] and targets [N, ...] to the figures of these images, or of those at some places [n] of them."""
_TOGETHER = 2**24
"""Outputs that are added to a meter at once."""


class ChosenTask(Chosen[Task]):
    """A task, and what it was told."""

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def stratum(self) -> str:
        """What is said of images of which a share is set aside: so much of every class, or of every image."""
        return (self.record.stratum or self.record.noun[0]) if self.record.strata else "image"

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Those by which epochs may be compared, the one that is meant where nobody says which first."""
        return (*self.record.figures, LOSS)

    def figure(self, name: str | None) -> Figure:
        """The figure of a name. Raises FtError, with the names that exist, for another."""
        known = [each.name for each in self.figures]
        if name is not None and name not in known:
            raise FtError(
                f"--monitor {name}: task '{self.name}' has no such figure.{did_you_mean(name, known)} "
                f"It has: {', '.join(known)}"
            )
        return next(each for each in self.figures if name in (None, each.name))

    def space(self, labels: Sequence[Label]) -> LabelSpace:
        """What the labels of training images come to. Raises FtError for such that are not of the task."""
        made = self._call("space", labels, self.settings)
        if not isinstance(made, LabelSpace):
            raise TypeError(f"{self.component.label} returned {made!r:.200} from space; it has to be an ft.LabelSpace")
        return made

    def encode(self, labels: Sequence[Label], space: LabelSpace) -> Sequence[Any]:
        """The target of each label. Raises FtError for one that the space does not have."""
        made: Sequence[Any] = self._call("encode", labels, space, self.settings)
        if len(made) != len(labels):
            raise TypeError(f"{self.component.label} returned {len(made)} targets from encode for {len(labels)} labels")
        return made

    def strata(self, labels: Sequence[Label]) -> Sequence[Hashable]:
        """Which images are alike, so that a share of each kind is set aside; all, where the task does not say."""
        if self.record.strata is None:
            return [None] * len(labels)
        made: Sequence[Hashable] = self._call("strata", labels, self.settings)
        return made

    def remarks(self, targets: Mapping[Part, Tensor], space: LabelSpace) -> Sequence[Remark]:
        """What is to be said of targets of training, validation and test."""
        return list(self._call("remarks", targets, space, self.settings)) if self.record.remarks else []

    def loss(self, space: LabelSpace, targets: Tensor) -> Loss:
        """What is minimised, for training images with these targets."""
        made: Any = self._call("loss", space, self.settings, targets)
        return made if hasattr(made, "weight") else Plain(made)

    def meter(self, space: LabelSpace, arrays: bool = False) -> Meter:
        """What sums up answers; those that are arrays, where the task `measures_arrays`, without torch."""
        made: Meter = self._call("meter_of_arrays" if arrays else "meter", space, self.settings)
        return made

    @property
    def measures_arrays(self) -> bool:
        """Whether figures can be had of arrays, without torch."""
        return self.record.meter_of_arrays is not None

    def measure(self, space: LabelSpace) -> Measure:
        """What gives figures, to be called many times, as of resamples of the same answers."""
        meter = self.implementation("meter")

        def figures(outputs: Tensor, targets: Tensor, places: Tensor | None = None) -> Mapping[str, float]:
            summed: Meter = meter(space, self.settings)
            together = max(1, _TOGETHER // outputs.shape[1])
            for start in range(0, len(outputs if places is None else places), together):
                some = slice(start, start + together) if places is None else places[start : start + together]
                summed.add(outputs[some], targets[some])
            return summed.figures()

        return figures

    def count(self, space: LabelSpace) -> Count | None:
        """What is counted of the images of training steps, to be called `tally_name`; None where nothing is."""
        if self.record.tally is None:
            return None
        tally = self.implementation("tally")

        def count(outputs: Tensor, targets: Tensor) -> Tensor:
            counted: Tensor = tally(outputs, targets, space, self.settings)
            return counted

        return count

    def shares(self, targets: Tensor, space: LabelSpace) -> Sequence[float] | None:
        """How often each training image is drawn, relative to others; None is once an epoch."""
        made: Sequence[float] | None = (
            self._call("shares", targets, space, self.settings) if self.record.shares else None
        )
        return made

    def calibrate(self, outputs: Tensor, targets: Tensor, space: LabelSpace) -> LabelSpace:
        """The space with what follows from the validation images' outputs by the saved model."""
        if self.record.calibrate is None:
            return space
        made: LabelSpace = self._call("calibrate", outputs, targets, space, self.settings)
        return made

    def extend(self, labels: Sequence[Label], known: LabelSpace) -> LabelSpace:
        """The space of a run that starts from another one, whose space is `known`, with these labels of training
        images. Raises FtError for labels that are not of the task, or do not go with it."""
        if self.record.extend is None:
            made = self.space(labels)
            if (made.names, made.outputs) != (known.names, known.outputs):
                raise FtError(f"task '{self.name}' does not say how {self.record.noun[1]} are added to those of a run")
            return known
        extended: LabelSpace = self._call("extend", labels, known, self.settings)
        return extended

    def predict(self, outputs: Tensor, space: LabelSpace) -> Sequence[Answer]:
        """The answer to each image, of outputs [N, K] in float32 on the CPU."""
        made: Sequence[Answer] = self._call("predict", outputs, space, self.settings)
        return made

    def readout(self, outputs: Tensor, space: LabelSpace) -> Tensor | None:
        """What answers tell in numbers, of outputs [N, K]; None where the task does not say."""
        made: Tensor | None = (
            self._call("readout", outputs, space, self.settings) if self.record.readout is not None else None
        )
        return made

    def answers(self, outputs: NDArray[Any], space: LabelSpace) -> Sequence[Answer]:
        """The answer to each image, of an array [N, K] in float32; without torch where the task can do without."""
        if self.record.answers is None:
            import torch

            return self.predict(torch.from_numpy(outputs), space)
        made: Sequence[Answer] = self._call("answers", outputs, space, self.settings)
        return made

    def sections(self, outputs: Tensor, targets: Tensor, space: LabelSpace) -> Sequence[Section]:
        """What a page shows of a split with these outputs by the saved model; nothing, where the task does not say."""
        return list(self._call("sections", outputs, targets, space, self.settings)) if self.record.sections else []

    def guess(self, targets: Tensor, space: LabelSpace) -> Tensor | None:
        """The outputs [K] that answer best without an image, knowing the targets of all training images; None where
        the task does not say."""
        made: Tensor | None = self._call("guess", targets, space, self.settings) if self.record.guess else None
        return made

    def average(self, outputs: Tensor, space: LabelSpace) -> Tensor:
        """One answer's outputs [N, K] of those for several views of each image [V, N, K]: their mean, where the task
        does not say."""
        made: Tensor = (
            outputs.mean(0) if self.record.average is None else self._call("average", outputs, space, self.settings)
        )
        return made

    def average_arrays(self, outputs: NDArray[Any], space: LabelSpace) -> NDArray[Any]:
        """The same of arrays in float32; without torch where the task can do without."""
        if self.record.average is None:
            mean: NDArray[Any] = outputs.mean(0)
            return mean
        if self.record.average_arrays is None:
            import torch

            averaged: NDArray[Any] = self.average(torch.from_numpy(outputs), space).numpy()
            return averaged
        made: NDArray[Any] = self._call("average_arrays", outputs, space, self.settings)
        return made

    def uncertainty(self, outputs: Tensor, space: LabelSpace) -> Tensor:
        """How uncertain the answer to each image is [N], of outputs [N, K]. Raises FtError where the task does not
        say."""
        self.check_uncertainty(space)
        made: Tensor = self._call("uncertainty", outputs, space, self.settings)
        return made

    def check_uncertainty(self, space: LabelSpace) -> None:
        """Raise FtError where the task does not say how uncertain answers are."""
        if self.record.uncertainty is None:
            raise FtError(f"task '{self.name}' does not say how uncertain its answers are")

    def _call(self, name: str, *arguments: Any) -> Any:
        return self.implementation(name)(*arguments)


@dataclass(frozen=True, eq=False)
class Plain:
    """A loss that is a function: each image counts alike."""

    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.function(outputs, targets)

    def weight(self, targets: Tensor) -> float:
        return len(targets)


def choose_task(task: ComponentConfig, plugins: Plugins, training: TrainingConfig | None = None) -> ChosenTask:
    """Find a task. What `training` says under older names are settings of it, too.

    Raises FtError where there is none, or it does not take its settings.
    """
    component = plugins.get("task", parse_reference(task.use))
    older = {} if training is None else {name: getattr(training, name) for name in changed(training, OLDER)}
    if twice := sorted(older.keys() & task.settings.keys()):
        raise FtError(f"training.{twice[0]} is the older name of {KEY}.{twice[0]}, which is given, too; leave it out")
    takes = settings_class(component).model_fields
    if foreign := [name for name in older if name not in takes]:
        raise FtError(
            f"--{foreign[0].replace('_', '-')} (training.{foreign[0]}) is nothing to task '{component.name}', whose "
            f"settings are {', '.join(sorted(takes)) or 'none'}; leave it out, or see ft describe task:{component.name}"
        )
    return ChosenTask(component, read_settings(component, {**older, **task.settings}, KEY))
