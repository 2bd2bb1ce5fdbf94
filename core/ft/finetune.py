"""The straight path from a config to a report. Read this file to learn what ft does."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Literal

from ft.backbone import BuiltBackbone, build_backbone
from ft.caching import plan_cache, resolve_augment
from ft.checking import check_images
from ft.checkpoints import moving_tensors, phase_from
from ft.config import Config
from ft.copies import warn_of_copies
from ft.data import ImageData, load_data
from ft.devices import Machine, choose_machine
from ft.display import Display
from ft.examples import Examples
from ft.feeds import open_feed
from ft.freezing import apply_frozen, choose_frozen, frozen_digest, frozen_modules, needs_data
from ft.image_list import check_same_images, keep_image_list, may_have_moved, write_image_list
from ft.images import effective_preprocessing
from ft.inference import measure_saved
from ft.job import Job
from ft.layer_notes import layers_of, noted_layers
from ft.loaders import explained_deaths
from ft.memory import arrange_large_blocks, explained_shortage, give_back_freed_memory
from ft.model import Model, build_model
from ft.ownership import strange_cache
from ft.pace import fastest, is_open, measured_paces, resolve_machine
from ft.plan import Plan, make_plan
from ft.plugins import Plugins
from ft.precision import without_loss
from ft.prefix.find import FrozenPrefix
from ft.provenance import describe_model, seen_otherwise, versions_used
from ft.randomness import one_run_at_a_time, seed_all
from ft.report import Report, make_report
from ft.resuming import as_begun, can_go_on, go_on, selected_before, statistics_set_free
from ft.runs import Run, start_run
from ft.settings_check import check_settings
from ft.signals import stop_on_signals
from ft.solving import check_linear, solve
from ft.training import train
from ft.value_range import resolve_range, warn_of_values
from ft.weights import unverified


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


def prepare(
    config: Config,
    plugins: Plugins,
    display: Display,
    tensors: Literal["pretrained", "random", "empty"] = "empty",
    stopped: Run | None = None,
) -> Prepared:
    """Decide what a run will do. `ft plan` stops here, having trained nothing.

    Weights are fetched for "pretrained", and where what is frozen follows from images. A run that goes on has those
    with which it `stopped`, and what was selected in it stands until its freeze is changed.
    """
    seed_all(config.seed)  # for whatever plugins draw while they decide
    with may_have_moved(stopped is not None):
        check_settings(config, plugins)
    if stopped is not None:
        config = as_begun(config, stopped)
    machine = usual = choose_machine(config.machine)
    with may_have_moved(stopped is not None), display.progress("looking for images"):
        data = load_data(config, plugins)
    if stopped is not None:
        tensors = "random"
    elif tensors == "empty" and any(needs_data(rule, plugins) for rule in (*config.freeze, *config.train)):
        tensors = "pretrained"
    elif tensors == "empty" and is_open(config, machine):
        tensors = "random"  # a step is measured
    built = build_backbone(config, plugins, display, tensors)
    with display.progress("reading images", len(data.items)) as bar:
        data = check_images(data, config.images.bad, bar.advance, ranged=config.images.range is not None)
    asked, config = config.images.range, resolve_range(config, data)
    data = warn_of_values(warn_of_copies(data), asked, config.images.value_range)
    data = replace(data, warnings=(*data.warnings, *strange_cache(unverified(built.choice))))
    built = replace(built, preprocessing=effective_preprocessing(built.preprocessing, config.images))
    built = replace(built, notes=(*built.notes, *seen_otherwise(built)))
    if stopped is not None:
        check_same_images(stopped.path / "images.csv", data)
    model = build_model(built.backbone, config.head, len(data.classes), plugins, config.seed)
    machine.place(model.module)
    selected = None
    if stopped is not None:
        stopped.restore(model.module)
        selected = selected_before(stopped, config)
    examples = Examples(data, built.preprocessing, config, machine)
    with display.progress("choosing what to freeze"):
        frozen = choose_frozen(config.freeze, config.train, built.backbone, plugins, examples, selected)
    config = resolve_augment(config, only_head_trains=frozen.names >= set(built.backbone.parameter_names()))
    apply_frozen(model.module, frozen.names, frozen_modules(model.module, frozen.names, model.head_paths))
    if config.training.optimizer == "lbfgs":
        model.module.eval()  # so the head is fitted: dropout plays no part in it
    size = built.preprocessing.crop_size
    layers = layers_of(built, model)
    with noted_layers(layers), display.progress("finding what can be computed once"):
        cache, prefix = plan_cache(model.module, frozen.names, config, machine, size, data)
    with noted_layers(layers), display.progress("measuring a step"):
        paces = measured_paces(model.module, prefix, config, machine, size)
    machine = fastest(paces, machine)
    if tensors == "pretrained":
        demanded = config.machine.precision == "bf16"
        with noted_layers(layers):
            machine, loss = without_loss(machine, model, data, built.preprocessing, demanded)
        data = replace(data, warnings=(*data.warnings, *filter(None, [loss])))
    if machine != usual:
        machine.place(model.module)
        cache, prefix = plan_cache(model.module, frozen.names, config, machine, size, data)
    if stopped is not None:
        data = replace(data, warnings=(*data.warnings, *statistics_set_free(stopped, model.module)))
    config = resolve_machine(config, machine)
    plan = make_plan(model, built, frozen, cache, data, config, machine, paces, plugins)
    if prefix is not None and config.training.optimizer == "lbfgs":
        check_linear(prefix, plan.head)
    return Prepared(config, data, built, model, machine, plan, prefix)


@one_run_at_a_time()
def finetune(config: Config, plugins: Plugins, display: Display, resume: Run | None = None) -> tuple[Run, Report]:
    """Fine-tune as `config` says, in a new run or on from where `resume` stopped, and report what came of it.

    A run goes on from its last state, also where it was finished, and also with another freeze. Raises FtError for what
    the user can mend, also in a second thread that trains, and StopAsked when a signal asked to stop; the state is then
    saved.
    """
    arrange_large_blocks()
    stopped = resume if resume is not None and can_go_on(resume) else None
    ready = prepare(config, plugins, display, "pretrained", stopped)
    config, data, plan, machine, module = ready.config, ready.data, ready.plan, ready.machine, ready.model.module
    versions = versions_used(config, ready.built, plugins)
    run = stopped or start_run(config, versions, resume)
    hint = f"Continue with: ft run --resume {run.path}"
    with stop_on_signals(run.path) as stop, explained_deaths(hint), explained_shortage("Try a smaller --batch-size"):
        run.sweep()
        if stopped is not None:
            go_on(stopped, module, plan, config, versions, display)
            if moved := keep_image_list(run.path / "images.csv", data):
                display.say(moved)
        else:
            run.write_plan(plan, [phase_from(config)])
            write_image_list(run.path / "images.csv", data)
            run.write_model_file(describe_model(config, ready.built, ready.model, data, versions))
            run.keep_frozen(module, moving_tensors(module, plan.frozen, plan.frozen_modules))
        display.run_begins(run, plan, ready.built.notes)

        before = frozen_digest(module, plan.frozen, plan.frozen_modules)
        job = Job(data, ready.built.preprocessing, config, machine, display, stop)
        layers = layers_of(ready.built, ready.model)
        with noted_layers(layers):
            feed = open_feed(module, plan, ready.prefix, job)
        with closing(feed), run.paged_out(module, feed.idle), noted_layers(layers):
            give_back_freed_memory()
            fit = solve if config.training.optimizer == "lbfgs" else train
            position = fit(module, plan, feed, job, run)
        machine.place(module)
        after = frozen_digest(module, plan.frozen, plan.frozen_modules)

        best = run.load_checkpoint("best", module, moving_tensors(module, plan.frozen, plan.frozen_modules))
        run.save_model(module, keep_frozen=not best.tensors.keys().isdisjoint(plan.frozen))
        module.to("meta")  # so that it takes no memory beside the one that is rebuilt from what was saved
        val = measure_saved(run, plugins, job, "validation", data.val)
        test = measure_saved(run, plugins, job, "test", data.test) if data.test else None
        report = make_report(config, plan, position, best.position.epoch, val, test, before, after, feed.cost)
        run.write_json("report.json", asdict(report))
    return run, report
