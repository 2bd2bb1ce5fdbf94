"""Ranks backbones on a data set: how well linear heads answer on what each makes of the images, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ft.config.schema import Config
from ft.data.targets import targets_of
from ft.depths import Looked, look
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.tasks import Figure, LabelSpace
from ft.insight.components import principal_components
from ft.insight.even_folds import even_folds
from ft.insight.intervals import Interval, bootstrap, wilson
from ft.insight.out_of_sample import answer_out_of_sample
from ft.insight.paired import paired
from ft.judging import solver_for
from ft.machine.display import Display
from ft.task.chosen import ChosenTask

COMPONENTS = 256
"""Principal components that heads are fitted to, as in ft data check."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A backbone up to one of its stages.

    `figures` are those of heads that did not see the images, by name, and `interval` is where the first of them lies;
    the penalty is the one with the lowest loss on these very images. `values` are what the task counts of each image
    [N]. An image takes `seconds` of the whole backbone in use, and `seconds_behind` of that behind the stage, which is
    what training from there on repeats; `parameters` are the backbone's, `behind` those that would then train.
    """

    backbone: str
    stage: str
    is_last: bool
    figures: Mapping[str, float]
    interval: Interval | None
    values: Tensor | None
    penalty: float
    width: int
    seconds: float
    seconds_behind: float
    parameters: int
    behind: int
    computed: int


@dataclass(frozen=True, eq=False)
class Probed:
    """Backbones, the best first, by their `figure`, all of their `depths`, and why others were left out. `as_good` is
    the cheapest in use of those that are not worse than the best by more than chance, perhaps the best itself."""

    images: int
    folds: int
    figure: Figure
    ranked: tuple[Probe, ...]
    depths: tuple[Probe, ...]
    left_out: Mapping[str, str]
    as_good: Probe

    @property
    def front(self) -> tuple[Probe, ...]:
        """The backbones that no other one beats in both figure and time in use (Pareto's front), the fastest first:
        whoever takes another one gives something up for nothing, as far as these images tell."""
        order = sorted(self.ranked, key=lambda each: (each.seconds, _merit(each, self.figure)))
        front = list[Probe]()
        for each in order:
            if not front or _merit(each, self.figure) < _merit(front[-1], self.figure):
                front.append(each)
        return tuple(front)


def probe(configs: Sequence[Config], folds: int, plugins: Plugins, display: Display) -> Probed:
    """Look at the images of a data set with the backbone of each config, and rank them.

    One that cannot be had or does not fit costs no other its place. Raises FtError where none is left, and for what is
    wrong with all of them, as the data.
    """
    found, left_out, about = list[Probe](), dict[str, str](), None
    for config in configs:
        display.say(f"looking with {config.backbone.use}")
        try:
            looked = look(config, plugins, display)
            found += _probed(looked, folds, plugins, display)
            about = about or looked.data
        except FtError as error:
            if len(configs) == 1:
                raise
            left_out[config.backbone.use] = str(error)
    if about is None or not found:
        listed = "".join(f"\n  {name}: {why}" for name, why in left_out.items())
        raise FtError(f"none of {len(configs)} backbones could be tried:{listed}")
    figure = about.task.figures[0]
    ranked = tuple(sorted((each for each in found if each.is_last), key=lambda each: _merit(each, figure)))
    as_good = _cheapest_as_good(ranked, about.task)
    return Probed(len(about.items), folds, figure, ranked, tuple(found), left_out, as_good)


def _probed(looked: Looked, folds: int, plugins: Plugins, display: Display) -> Iterator[Probe]:
    """The backbone at each of its depths."""
    data, items = looked.data, looked.items
    task, space, targets = data.task, data.space, targets_of(items)
    places = even_folds(data, items, task.strata([item.label for item in items]), folds)
    if len(set(places.tolist())) < 2:
        raise FtError(f"heads are asked about images that they did not see, and {len(items)} are too few, or one group")
    solver, count, last = solver_for(task, space, plugins), task.count(space), looked.depths[-1]
    fits = len(solver.penalties) * folds * len(looked.depths)
    with display.progress("heads on folds", fits, unit="fits") as bar:
        for number, depth in enumerate(looked.depths):
            before = number * len(solver.penalties) * folds

            def tell(done: int, before: int = before) -> None:
                bar.advance(before + done)

            components = principal_components(depth.features, COMPONENTS)
            answered = answer_out_of_sample(components, targets, places, solver, tell)
            outputs = answered.outputs.float()
            figures = task.measure(space)(outputs, targets)
            yield Probe(
                backbone=looked.backbone,
                stage=depth.stage,
                is_last=depth is last,
                figures=figures,
                interval=_interval(task, space, outputs, targets, figures),
                values=None if count is None else count(outputs, targets).double(),
                penalty=answered.penalty,
                width=depth.features.shape[1],
                seconds=looked.seconds,
                seconds_behind=0.0 if depth is last else looked.seconds - depth.seconds,
                parameters=looked.parameters,
                behind=depth.behind,
                computed=looked.computed,
            )


def _interval(
    task: ChosenTask, space: LabelSpace, outputs: Tensor, targets: Tensor, figures: Mapping[str, float]
) -> Interval | None:
    """Where the figure lies by which backbones are ranked."""
    figure, images = task.figures[0], len(outputs)
    if figure.of_images:
        return wilson(round(figures[figure.name] * images), images)

    measure = task.measure(space)

    def again(places: Tensor) -> float:
        return measure(outputs[places], targets[places])[figure.name]

    return bootstrap(again, images, outputs.shape[1])


def _merit(each: Probe, figure: Figure) -> float:
    """By which to sort, the best first."""
    value = each.figures[figure.name]
    return -value if figure.larger_is_better else value


def _cheapest_as_good(ranked: Sequence[Probe], task: ChosenTask) -> Probe:
    """The cheapest in use of those not worse than the best by more than chance, perhaps the best itself."""
    best = ranked[0]
    counted = next((each for each in task.figures if each.name == task.record.tally_name), None)
    larger = counted is None or counted.larger_is_better
    for each in sorted(ranked[1:], key=lambda each: each.seconds):
        if each.seconds >= best.seconds or each.values is None or best.values is None:
            continue
        beside = paired(best.values, each.values, larger)
        is_worse = beside.means[1] < beside.means[0] if larger else beside.means[1] > beside.means[0]
        if not (is_worse and beside.is_more_than_chance):
            return each
    return best
