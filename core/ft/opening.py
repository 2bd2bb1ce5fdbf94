"""What a run opens once, before anything is decided: its images, read and checked, and its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ft.cache.ahead import kept_ahead
from ft.cache.decision import open_store
from ft.cache.store import FeatureStore
from ft.config.component import ComponentConfig
from ft.config.images import AUTO
from ft.config.phases import configs_of, whose_phases
from ft.config.recipes import without_recipe
from ft.config.schema import Config
from ft.config.training import BLENDS, OF_STEPS, TrainingConfig, idle_with
from ft.data.copies import warn_of_copies
from ft.data.earlier import warn_of_trained
from ft.data.image_list import check_same_images, may_have_moved
from ft.data.load import ImageData, load_data
from ft.data.readable import MEND_OR_SKIP, Ahead, check_images
from ft.data.transforms import effective_preprocessing
from ft.data.value_range import resolve_range, warn_of_values
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.machine.devices import Machine, choose_machine
from ft.machine.display import Display
from ft.machine.ownership import strange_cache
from ft.machine.randomness import seed_all, seeded
from ft.model.backbone import BuiltBackbone, build_backbone
from ft.model.carried_head import carry_head, what_becomes_of_the_head
from ft.model.freezing import choose_frozen, needs_data
from ft.model.head import Model, build_model
from ft.model.layer_notes import layers_of, noted_layers
from ft.model.lora import add_adapters
from ft.plan.budget import Clock
from ft.plan.components import check_settings
from ft.plan.optimizer import ChosenOptimizer, choose_optimizer
from ft.plan.pace import is_open
from ft.plan.records import Place
from ft.run.folder import Run
from ft.run.origin import open_origin, with_digest
from ft.run.provenance import seen_otherwise
from ft.task.chosen import ChosenTask, choose_task
from ft.weights.choice import absent, unverified

Values = Literal["pretrained", "random", "empty"]
"""What tensors of a network hold: fetched weights, numbers drawn from the seed, or nothing but their shapes."""

MANY_IMAGES = 1000
"""From so many training images on, more than the head trains where nobody says how. With 160 images of solar cells
that made EfficientNet-Lite0 worse by 4 to 12 points (docs/few-images.md), with 1,706 better by 1 to 3
(docs/results.md)."""
_MEND_OR_ANEW = (
    "A run goes on with the very images that it began with: put these back, or begin a new run with --bad-images skip"
)


@dataclass(frozen=True, eq=False)
class Opened:
    """`config` is the one given, with what follows from the images and the optimizer filled in; where that lists phases
    it is the one of the phase that the run is at, whose `place` says which that is, and `whole` is the one given.
    `machine` is where the network lies, in fp32 where the config leaves the precision open. The network has its weights
    where `has_weights`. The `store` is where the run keeps what it computes once. The `clock` is that of a time budget
    that was decided in this process."""

    config: Config
    whole: Config
    data: ImageData
    built: BuiltBackbone
    model: Model
    machine: Machine
    store: FeatureStore
    has_weights: bool
    optimizer: ChosenOptimizer
    place: Place
    clock: Clock | None = None

    def at(self, place: Place, plugins: Plugins) -> Opened:
        """The same, as the phase at `place` sees it, with the network where that trains."""
        if not self.whole.phases:
            return self
        config, optimizer = self.phases(plugins)[place.number - 1]
        machine = choose_machine(config.machine)
        machine.place(self.model.module)
        return replace(self, config=config, optimizer=optimizer, machine=machine, place=place)

    def phases(self, plugins: Plugins) -> list[tuple[Config, ChosenOptimizer]]:
        """The config of each phase, with what follows from its optimizer and the task filled in, and that optimizer."""
        return [_resolved(phase, plugins) for phase in configs_of(self.whole)]

    def shared(self, plugins: Plugins) -> frozenset[str]:
        """Keys of `training` that the phase takes from the config of the run, and that are of use in another phase: one
        that takes steps and, for rates of the backbone, has another freeze."""
        if not self.whole.phases:
            return frozenset()
        now, own = self.place.number - 1, self.whole.phases[self.place.number - 1].model_fields_set
        if self.whole.time_budget is not None:
            return frozenset(OF_STEPS) - own  # which may have been of use in phases that are left out for the time
        of_use = set[str]()
        for at, (phase, (config, optimizer)) in enumerate(zip(self.whole.phases, self.phases(plugins), strict=True)):
            if at != now:
                same = (config.freeze, config.train) == (self.config.freeze, self.config.train)
                idle = idle_with(optimizer.record)
                of_use |= set(OF_STEPS).difference(idle, phase.model_fields_set, ("lr", "lr_decay") if same else ())
        return frozenset(of_use - own)


def open_run(config: Config, plugins: Plugins, display: Display, values: Values, stopped: Run | None) -> Opened:
    """Read the images and build the network of a run.

    Where `values` are "empty" they are what has to be known to plan: weights where what is frozen follows from images,
    random ones where a step is measured. A run that goes on has the images and the state with which it `stopped`.
    """
    origin = open_origin(config, stopped)
    whole = config = with_digest(config, origin)
    store, trains = open_store(config), values != "empty"
    machine = choose_machine(configs_of(config)[0].machine)
    with may_have_moved(stopped is not None), display.progress("looking for images"):
        check_settings(config, plugins)
        every = [_resolved(phase, plugins) for phase in configs_of(config)]
        config, optimizer = every[0]
        data = load_data(config, plugins, origin)
    config, whole = _with_epochs(config, data), _with_epochs(whole, data)
    phases = [_with_epochs(phase, data) for phase, _ in every]
    tensors = values
    if stopped is not None:
        tensors = "random"
    elif values == "empty" and any(_looks_at_images(phase, plugins) for phase in phases):
        tensors = "pretrained"
    elif values == "empty" and (_is_timed(whole) or any(is_open(phase, machine) for phase in phases)):
        tensors = "random"
    built = build_backbone(config, plugins, display, tensors, origin)
    if whole.recipe is not None and whole.recipe.usual and (why := _unfit(config, data, built, plugins)):
        seed_all(config.seed)  # as where the recipe had never been there
        head_alone = without_recipe(whole).model_copy(update={"freeze": (ComponentConfig(use="all"),)})
        opened = open_run(head_alone, plugins, display, values, stopped)
        return replace(opened, data=replace(opened.data, notes=(*opened.data.notes, why)))
    _check_freezes(phases[1:], built, plugins)
    ahead = _kept_ahead(store, data, built, phases, plugins) if trains else None
    with display.progress("reading images", len(data.items), unit="images") as bar:
        ranged = config.images.range is not None
        advice = MEND_OR_SKIP if stopped is None else _MEND_OR_ANEW
        data = check_images(data, config.images.bad, bar.advance, advice, ranged, ahead)
    asked, config = config.images.range, resolve_range(config, data)
    whole = resolve_range(whole, data) if whole.phases else config
    data = warn_of_values(warn_of_copies(data), asked, config.images.value_range)
    data = replace(data, warnings=(*data.warnings, *strange_cache(unverified(built.choice))))
    if not trains and (missing := absent(built.choice, plugins)):
        lacking = f"the weights {missing} are not on this machine: ft run needs them"
        data = replace(data, warnings=(*data.warnings, lacking))
    built = replace(built, preprocessing=effective_preprocessing(built.preprocessing, config.images))
    built = replace(built, notes=(*built.notes, *seen_otherwise(built)))
    model = build_model(built.backbone, config.head, data.space.outputs, plugins, config.seed)
    built = replace(built, backbone=model.backbone)
    if origin is not None and stopped is None:
        data = warn_of_trained(data, origin)
        carry_head(model, built.backbone, config.head, origin, data.space, plugins)
        data = replace(data, notes=(*data.notes, what_becomes_of_the_head(origin, data.space)))
    if config.lora.rank is not None:
        with noted_layers(layers_of(built.component, model)):
            adapted = add_adapters(built.backbone, config.lora, plugins, built.preprocessing.crop_size, config.seed)
        model = replace(model, adapted=adapted)
    machine.place(model.module)
    if stopped is not None:
        check_same_images(stopped.path / "images.csv", data)
        stopped.restore(model.module)
    has_weights = tensors == "pretrained"
    place = Place(of=len(phases))
    return Opened(config, whole, data, built, model, machine, store, has_weights, optimizer, place)


def _resolved(config: Config, plugins: Plugins) -> tuple[Config, ChosenOptimizer]:
    """The config of a phase with what follows from its optimizer and the task filled in, and that optimizer."""
    optimizer = choose_optimizer(config, plugins)
    task = choose_task(config.task, plugins, config.training)
    return config.model_copy(update={"training": _training(config, optimizer, task)}), optimizer


def _training(config: Config, optimizer: ChosenOptimizer, task: ChosenTask) -> TrainingConfig:
    """How to train, with what follows from the optimizer and the task. Raises FtError for what the task does not do."""
    blends = [name for name in BLENDS if getattr(config.training, name)]
    if blends and not task.record.blend:
        flag = blends[0].replace("_", "-")
        raise FtError(f"task '{task.name}' blends no images, so --{flag} does not apply; leave it out")
    training = config.training.of(optimizer.record)
    return training.monitoring(task.figure(training.monitor).name)


def _unfit(config: Config, data: ImageData, built: BuiltBackbone, plugins: Plugins) -> str:
    """Why the head alone trains where nobody says how, and not what the recipe for that says; "" where it does."""
    if len(data.train) < MANY_IMAGES:
        return (
            f"the head alone trains, where nobody says how: more is worth it from about {MANY_IMAGES:,} training "
            "images; to try it: --recipe best"
        )
    try:
        with seeded(config.seed):
            choose_frozen(config.freeze, config.train, built.backbone, plugins)
    except FtError as error:
        return f"the head alone trains, where nobody says how, since {error}"
    return ""


def _with_epochs(config: Config, data: ImageData) -> Config:
    """The config with as many epochs as these images want, where nobody says how many."""
    return config.model_copy(update={"training": config.training.of_images(len(data.train))})


def _looks_at_images(config: Config, plugins: Plugins) -> bool:
    """Whether what is frozen follows from images."""
    return any(needs_data(rule, plugins) for rule in (*config.freeze, *config.train))


def _is_timed(config: Config) -> bool:
    """Whether it is still to be measured what fits into the run's time."""
    return config.time_budget is not None and config.time_budget.decided is None


def _check_freezes(later: Sequence[Config], built: BuiltBackbone, plugins: Plugins) -> None:
    """Raise FtError now for what a later phase freezes and cannot, as far as no image has to be looked at."""
    for number, phase in enumerate(later, start=2):
        if not _looks_at_images(phase, plugins):
            try:
                with seeded(phase.seed):
                    choose_frozen(phase.freeze, phase.train, built.backbone, plugins)
            except FtError as error:
                raise FtError(f"phase {number}: {error}{whose_phases(phase)}") from None


def _kept_ahead(
    store: FeatureStore, data: ImageData, built: BuiltBackbone, phases: Sequence[Config], plugins: Plugins
) -> Ahead | None:
    """How the check is to keep images for the first phase that has them kept; None where none has."""
    every = (
        kept_ahead(store, data, built.preprocessing, phase, _only_head_trains(phase, built, plugins), plugins)
        for phase in phases
    )
    return next((found for found in every if found is not None), None)


def _only_head_trains(config: Config, built: BuiltBackbone, plugins: Plugins) -> bool:
    """Whether that is known, where augmentation follows from it, before any image was looked at."""
    if config.images.augment.use != AUTO or config.lora.rank is not None or _looks_at_images(config, plugins):
        return False
    with seeded(config.seed):  # what is drawn to choose is drawn again when it counts
        frozen = choose_frozen(config.freeze, config.train, built.backbone, plugins)
    return frozen.names >= set(built.backbone.parameter_names())
