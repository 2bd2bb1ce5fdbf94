"""What is decided of a run once it is open: what is frozen, what is computed once, where it trains, its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ft.cache.decision import plan_cache
from ft.cache.store import FeatureStore
from ft.cache.views import choose_views
from ft.config.phases import measured_in
from ft.config.schema import Config
from ft.data.augmentation import ChosenAugmentation, resolve_augment
from ft.data.examples import Examples
from ft.data.load import ImageData
from ft.extension.installed import Plugins
from ft.job import Job
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.machine.distributed import ALONE, Processes
from ft.machine.randomness import drawing_from
from ft.machine.signals import StopRequest
from ft.model.backbone import BuiltBackbone
from ft.model.freezing import apply_frozen, choose_frozen, frozen_digest, frozen_modules
from ft.model.head import Model
from ft.model.layer_notes import Layers, layers_of, noted_layers
from ft.model.lora import beside_adapters
from ft.opening import Opened
from ft.plan.decisions import Decisions
from ft.plan.make import make_plan
from ft.plan.optimizer import ChosenOptimizer
from ft.plan.pace import resolve_machine
from ft.plan.records import Plan
from ft.plan.sharing import check_divided, divide
from ft.precision import settle
from ft.prefix.find import FrozenPrefix
from ft.run.folder import Run
from ft.run.resuming import Ahead, selected_before, statistics_set_free
from ft.tracking.listener import Listener
from ft.training.fit import check_fit, set_fitting_modes


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that is decided before the first step. `config` is the one given, with what follows from the data,
    the network and the machine filled in; of a run in phases, that of the phase. The model's modes are those it trains
    in."""

    opened: Opened
    config: Config
    data: ImageData
    built: BuiltBackbone
    model: Model
    machine: Machine
    plan: Plan
    prefix: FrozenPrefix | None
    store: FeatureStore
    optimizer: ChosenOptimizer
    augmentation: ChosenAugmentation

    @property
    def layers(self) -> Layers:
        """Whose the layers of the network are."""
        return layers_of(self.built.component, self.model)

    def job(self, display: Display, stop: StopRequest, tell: Listener, processes: Processes = ALONE) -> Job:
        """What the steps of the run share, each of the `processes` its part of them."""
        size, workers = self.config.training.batch_size, self.config.machine.workers
        looking = (self.built.preprocessing, size, workers, self.machine, display, stop)
        clock, number = self.opened.clock, self.plan.place.number
        ends_by = None if clock is None else clock.ends_by(number)
        chosen = (self.config, self.data, tell, self.optimizer, self.augmentation)
        return Job(*looking, *chosen, ends_by, processes, self.built.backbone.stages)

    @property
    def whole(self) -> Config:
        """The config of the run; of a run in phases, all of it, with what was measured in this phase."""
        return measured_in(self.opened.whole, self.plan.place.number, self.config)

    def ahead(self, versions: Mapping[str, Any]) -> Ahead:
        """What a run goes on with that is made with these `versions`."""
        return Ahead(self.plan, self.config, self.whole, versions)

    def frozen_digest(self) -> str:
        """The sha256 of all that is frozen, as it is now."""
        return frozen_digest(self.model.module, self.plan.frozen, self.plan.frozen_modules)


def decide(opened: Opened, plugins: Plugins, display: Display, stopped: Run | None) -> Prepared:
    """Decide what the run that was `opened` will do, and put its network into the modes it trains in.

    Of a run that goes on, what was selected when it `stopped` stands until its freeze is changed. Raises FtError where
    nothing would train, or could not.
    """
    config, data, built, model, machine = opened.config, opened.data, opened.built, opened.model, opened.machine
    examples = Examples(data, built.preprocessing, config, machine)
    with display.progress("choosing what to freeze"), drawing_from(config.seed, machine.device):
        before = selected_before(stopped, config)
        frozen = choose_frozen(config.freeze, config.train, built.backbone, plugins, examples, before)
        frozen = beside_adapters(frozen, model, config)
    only_head_trains = frozen.names >= set(built.backbone.parameter_names())
    config, augmentation = resolve_augment(config, only_head_trains, plugins)
    apply_frozen(model.module, frozen.names, frozen_modules(model.module, frozen.names, model.head_paths))
    set_fitting_modes(model.module, config.training)
    size = built.preprocessing.crop_size
    with noted_layers(layers_of(built.component, model)):
        with display.progress("finding what can be computed once"):
            config = choose_views(model.module, frozen.names, config, machine, size, data)
            cache, prefix = plan_cache(model.module, frozen.names, config, machine, size, data)
        with display.progress("measuring a step"):
            settled = settle(opened, config, prefix)
        if settled.machine != machine:
            settled.machine.place(model.module)
            cache, prefix = plan_cache(model.module, frozen.names, config, settled.machine, size, data)
    stood = stopped.plan_file().frozen_modules if stopped is not None else ()
    warnings = (*data.warnings, *settled.warnings, *statistics_set_free(stood, model.module))
    data, config, machine = replace(data, warnings=warnings), resolve_machine(config, settled.machine), settled.machine
    chosen = (settled.paces, opened.optimizer, opened.place, opened.shared(plugins))
    decisions = Decisions(config, data, built, model, frozen, cache, machine, *chosen)
    plan = make_plan(decisions, plugins)
    plan = replace(plan, **_about_time(opened))
    check_fit(plan, prefix, data)
    if config.machine.shard:
        plan = replace(plan, divided=divide(model.module, built.backbone.stages, prefix, cache))
        check_divided(plan)
    kept = (opened.store, opened.optimizer, augmentation)
    return Prepared(opened, config, data, built, model, machine, plan, prefix, *kept)


def _about_time(opened: Opened) -> dict[str, Any]:
    """What a plan says of the time budget of its run and, where that was decided in this process, of what it takes."""
    budget, clock = opened.whole.time_budget, opened.clock
    takes = {} if clock is None else {"takes": clock.phases[opened.place.number - 1]}
    return {"budget": "" if budget is None or budget.decided is None else str(budget), **takes}
