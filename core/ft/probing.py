"""Ranks backbones on a data set: how well linear heads answer on what each makes of the images, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ft.config.schema import ComponentConfig, Config
from ft.data.targets import targets_of
from ft.depths import Looked, look
from ft.errors import FtError
from ft.extension.installed import Plugins, implementation
from ft.extension.settings import validate
from ft.extension.tasks import Figure, LabelSpace
from ft.insight.components import principal_components
from ft.insight.even_folds import even_folds
from ft.insight.intervals import Interval, bootstrap, wilson
from ft.insight.out_of_sample import answer_out_of_sample
from ft.insight.paired import paired
from ft.judging import solver_for
from ft.machine.display import Display
from ft.model.head import find_head_builder
from ft.task.chosen import ChosenTask

LINEAR = "linear"
"""The head that reads the last stage alone, by which depths are shown."""
COMPONENTS = 256
"""Principal components that heads are fitted to, as in ft data check."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A backbone up to one of its stages, and the `head` that answers on what that gives; where the head reads several
    stages, `stage` is the last of them.

    `figures` are those of heads that did not see the images, by name, and `interval` is where the first of them lies;
    the penalty is the one with the lowest loss on these very images. `values` are what the task counts of each image
    [N]. An image takes `seconds` of the whole backbone in use, and `seconds_behind` of that behind the stage, which is
    what training from there on repeats; `parameters` are the backbone's, `behind` those that would then train.
    """

    backbone: str
    head: str
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
    """Backbones with their heads, the best first, by their `figure`, all of their `depths` as a linear head reads them,
    and why others were left out. `as_good` is the cheapest in use of those that are not worse than the best by more
    than chance, perhaps the best itself."""

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


def probe(configs: Sequence[Config], heads: Sequence[str], folds: int, plugins: Plugins, display: Display) -> Probed:
    """Look at the images of a data set with the backbone of each config, and rank them with each of `heads`.

    One that cannot be had or does not fit, or whose stages a head cannot read, costs no other its place. Raises FtError
    where none is left, and for what is wrong with all of them, as the data or a head that is not linear.
    """
    asked = [validate(ComponentConfig, {"use": name}, "head") for name in heads]
    for head in asked:
        _check_linear(head, plugins)
    found, left_out, about = list[Probe](), dict[str, str](), None
    for config in configs:
        display.say(f"looking with {config.backbone.use}")
        try:
            looked = look(config, plugins, display, asked)
            found += _probed(looked, folds, plugins, display)
            about = about or looked.data
            left_out |= {f"{looked.backbone} --head {head}": why for head, why in looked.not_read.items()}
        except FtError as error:
            if len(configs) == 1:
                raise
            left_out[config.backbone.use] = str(error)
    ranked = [each for each in found if each.is_last and each.head in heads]
    if about is None or not ranked:
        listed = "".join(f"\n  {name}: {why}" for name, why in left_out.items())
        raise FtError(f"none of {len(configs)} backbones could be tried:{listed}")
    figure = about.task.figures[0]
    depths = tuple(each for each in found if each.head == LINEAR)
    ranked.sort(key=lambda each: _merit(each, figure))
    as_good = _cheapest_as_good(ranked, about.task)
    return Probed(len(about.items), folds, figure, tuple(ranked), depths, left_out, as_good)


def _probed(looked: Looked, folds: int, plugins: Plugins, display: Display) -> Iterator[Probe]:
    """The backbone at each of its depths with a linear head, and with each head that reads several stages."""
    data, items = looked.data, looked.items
    task, space, targets = data.task, data.space, targets_of(items)
    places = even_folds(data, items, task.strata([item.label for item in items]), folds)
    if len(set(places.tolist())) < 2:
        raise FtError(f"heads are asked about images that they did not see, and {len(items)} are too few, or one group")
    solver, count, last = solver_for(task, space, plugins), task.count(space), looked.depths[-1]
    tried = [(LINEAR, depth, depth.features) for depth in looked.depths]
    tried += [(head, last, looked.together(head)) for head in looked.read_by]
    fits = len(solver.penalties) * folds
    with display.progress("heads on folds", fits * len(tried), unit="fits") as bar:
        for number, (head, depth, features) in enumerate(tried):

            def tell(done: int, before: int = number * fits) -> None:
                bar.advance(before + done)

            components = principal_components(features, COMPONENTS)
            answered = answer_out_of_sample(components, targets, places, solver, tell)
            outputs = answered.outputs.float()
            figures = task.measure(space)(outputs, targets)
            yield Probe(
                backbone=looked.backbone,
                head=head,
                stage=depth.stage,
                is_last=depth is last,
                figures=figures,
                interval=_interval(task, space, outputs, targets, figures),
                values=None if count is None else count(outputs, targets).double(),
                penalty=answered.penalty,
                width=features.shape[1],
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


def _check_linear(head: ComponentConfig, plugins: Plugins) -> None:
    """Raise FtError for a head that is not solved for here: only linear layers are."""
    component, settings = find_head_builder(head, plugins)
    if head.use == LINEAR:
        return
    made = implementation(component, "build")(2, 2, settings)
    learning = [type(layer) for layer in made.modules() if any(True for _ in layer.parameters(recurse=False))]
    if component.record.reads is None or learning != [nn.Linear]:
        raise FtError(
            f"ft probe solves for linear heads: '{LINEAR}', and those that read several stages; --head {head.use} is "
            "neither"
        )


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
