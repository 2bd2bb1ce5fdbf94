"""The straight path from a config to a report. Read this file to learn what ft does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace

from ft.cache.decision import plan_cache, resolve_augment
from ft.cache.store import FeatureStore
from ft.config.schema import Config
from ft.data.examples import Examples
from ft.data.image_list import keep_image_list, write_image_list
from ft.data.load import ImageData
from ft.data.loaders import explained_deaths
from ft.extension.installed import Plugins
from ft.inference.measure import measure_saved
from ft.job import Job
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.machine.memory import arrange_large_blocks, explained_shortage, give_back_freed_memory
from ft.machine.randomness import drawing_from, one_run_at_a_time, seed_all
from ft.machine.signals import stop_on_signals
from ft.model.backbone import BuiltBackbone
from ft.model.freezing import apply_frozen, choose_frozen, frozen_digest, frozen_modules
from ft.model.head import Model
from ft.model.layer_notes import layers_of, noted_layers
from ft.opening import Values, open_run
from ft.plan.make import make_plan
from ft.plan.optimizer import ChosenOptimizer
from ft.plan.pace import resolve_machine
from ft.plan.records import Plan
from ft.precision import settle
from ft.prefix.find import FrozenPrefix
from ft.run.checkpoints import Position, moving_tensors, phase_from
from ft.run.folder import Run, repeatable, start_run
from ft.run.provenance import describe_model, versions_used
from ft.run.report import Outcome, Report, make_report
from ft.run.resuming import as_begun, can_go_on, go_on, phase_begins, selected_before, statistics_set_free
from ft.tracking.console import console
from ft.tracking.events import PhaseStarted, RunEnded, RunStarted
from ft.tracking.listener import Listener, telling
from ft.training.feeds import open_feed
from ft.training.fit import check_fit, fit, set_fitting_modes


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that is decided before the first step. `config` is the one given, with what follows from the data,
    the network and the machine filled in. The model's modes are those it trains in."""

    config: Config
    data: ImageData
    built: BuiltBackbone
    model: Model
    machine: Machine
    plan: Plan
    prefix: FrozenPrefix | None
    store: FeatureStore
    optimizer: ChosenOptimizer


def prepare(
    config: Config, plugins: Plugins, display: Display, tensors: Values = "empty", stopped: Run | None = None
) -> Prepared:
    """Decide what a run will do. `ft plan` stops here, having trained nothing.

    Weights are fetched for "pretrained", and where what is frozen follows from images. A run that goes on has those
    with which it `stopped`, and what was selected in it stands until its freeze is changed.
    """
    seed_all(config.seed)  # for whatever plugins draw while they decide
    opened = open_run(config if stopped is None else as_begun(config, stopped), plugins, display, tensors, stopped)
    config, data, built, model, machine = opened.config, opened.data, opened.built, opened.model, opened.machine
    examples = Examples(data, built.preprocessing, config, machine)
    selected = None if stopped is None else selected_before(stopped, config)
    with display.progress("choosing what to freeze"), drawing_from(config.seed, machine.device):
        frozen = choose_frozen(config.freeze, config.train, built.backbone, plugins, examples, selected)
    config = resolve_augment(config, only_head_trains=frozen.names >= set(built.backbone.parameter_names()))
    apply_frozen(model.module, frozen.names, frozen_modules(model.module, frozen.names, model.head_paths))
    set_fitting_modes(model.module, config.training)
    size = built.preprocessing.crop_size
    with noted_layers(layers_of(built, model)):
        with display.progress("finding what can be computed once"):
            cache, prefix = plan_cache(model.module, frozen.names, config, machine, size, data)
        with display.progress("measuring a step"):
            settled = settle(opened, config, prefix)
        if settled.machine != machine:
            settled.machine.place(model.module)
            cache, prefix = plan_cache(model.module, frozen.names, config, settled.machine, size, data)
    moving = () if stopped is None else statistics_set_free(stopped, model.module)
    data = replace(data, warnings=(*data.warnings, *settled.warnings, *moving))
    config = resolve_machine(config, settled.machine)
    plan = make_plan(
        model, built, frozen, cache, data, config, settled.machine, settled.paces, plugins, opened.optimizer
    )
    check_fit(plan, prefix)
    return Prepared(config, data, built, model, settled.machine, plan, prefix, opened.store, opened.optimizer)


@one_run_at_a_time()
def finetune(
    config: Config, plugins: Plugins, display: Display, resume: Run | None = None, listeners: Sequence[Listener] = ()
) -> tuple[Run, Report]:
    """Fine-tune as `config` says, in a new run or on from where `resume` stopped, and report what came of it.

    What the run tells on the way is said on the display, and to `listeners`. A run goes on from its last state, also
    where it was finished, and also with another freeze. Raises FtError for what the user can mend, also in a second
    thread that trains, and StopAsked when a signal asked to stop; the state is then saved.
    """
    arrange_large_blocks()
    stopped = resume if resume is not None and can_go_on(resume) else None
    ready = prepare(config, plugins, display, "pretrained", stopped)
    config, data, plan, machine, module = ready.config, ready.data, ready.plan, ready.machine, ready.model.module
    versions = versions_used(config, ready.built, plugins)
    run = stopped or start_run(config, versions, resume)
    hint = f"Continue with: ft run --resume {run.path}"
    with (
        stop_on_signals(run.path) as stop,
        telling([console(display), *listeners]) as tell,
        explained_deaths(hint),
        explained_shortage("Try a smaller --batch-size"),
    ):
        run.sweep()
        if stopped is not None:
            position = go_on(stopped, module, plan, config, versions, display)
            if moved := keep_image_list(run.path / "images.csv", data):
                display.say(moved)
        else:
            position = Position(phases=[phase_from(config)])
            run.write_plan(plan, position.phases)
            write_image_list(run.path / "images.csv", data)
            run.write_model_file(describe_model(config, ready.built, ready.model, data, versions))
            run.keep_frozen(module, moving_tensors(module, plan.frozen, plan.frozen_modules))
        resumed, history = stopped is not None, tuple(position.history)
        tell(RunStarted(run.path, repeatable(config), plan, ready.built.notes, resumed, history))
        if phase_begins(position):
            tell(PhaseStarted(position.phases[-1]))

        before = frozen_digest(module, plan.frozen, plan.frozen_modules)
        job = Job(ready.built.preprocessing, config, machine, display, stop, data, tell, ready.optimizer)
        layers = layers_of(ready.built, ready.model)
        with noted_layers(layers):
            feed = open_feed(module, plan, ready.prefix, ready.store, job)
        with closing(feed), run.paged_out(module, feed.idle), noted_layers(layers):
            give_back_freed_memory()
            position = fit(module, plan, feed, job, run)
        machine.place(module)
        after = frozen_digest(module, plan.frozen, plan.frozen_modules)

        best = run.load_checkpoint("best", module, moving_tensors(module, plan.frozen, plan.frozen_modules))
        run.save_model(module, keep_frozen=not best.tensors.keys().isdisjoint(plan.frozen))
        module.to("meta")  # so that it takes no memory beside the one that is rebuilt from what was saved
        val = measure_saved(run, plugins, ready.store, job, "validation", data.val)
        test = measure_saved(run, plugins, ready.store, job, "test", data.test) if data.test else None
        outcome = Outcome(position, best.position.epoch, before, after, feed.cost, val, test)
        report = make_report(config, plan, outcome)
        run.write_json("report.json", asdict(report))
        tell(RunEnded(report, run.files_of_report()))
    return run, report
