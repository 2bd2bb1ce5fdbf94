"""The straight path from a config to a report. Read this file to learn what ft does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from ft.beginning import at_work, begin
from ft.budget import within_budget
from ft.config.schema import Config
from ft.deciding import Prepared, decide
from ft.extension.installed import Plugins
from ft.following import begun_before, end, follow, lead
from ft.gathering import gathered_by
from ft.inference.measure_run import measure_saved
from ft.machine.display import Display
from ft.machine.joining import joined
from ft.machine.memory import arrange_large_blocks, give_back_freed_memory
from ft.machine.randomness import one_run_at_a_time, seed_all
from ft.model.layer_notes import noted_layers
from ft.opening import Values, open_run
from ft.phases import each_phase, planned_phases, where_it_stands
from ft.plan.records import Plan
from ft.reporting.write import show
from ft.run.budget import time_spent
from ft.run.folder import Run
from ft.run.new import start_run
from ft.run.phases import begun_phases, note_ended
from ft.run.provenance import versions_used
from ft.run.report import Outcome, Report, make_report, measured_otherwise
from ft.run.resuming import as_begun, to_go_on
from ft.tracking.console import console
from ft.tracking.events import RunEnded
from ft.tracking.listener import Listener
from ft.tracking.trackers import open_trackers
from ft.training.feeds import open_feed
from ft.training.fit import fit


def prepare(
    config: Config, plugins: Plugins, display: Display, tensors: Values = "empty", stopped: Run | None = None
) -> Prepared:
    """Decide what a run will do. `ft plan` stops here, having trained nothing.

    Weights are fetched for "pretrained", and where what is frozen follows from images. A run that goes on has those
    with which it `stopped`.
    """
    began = time.monotonic()
    seed_all(config.seed)  # for whatever plugins draw while they decide
    opened = open_run(as_begun(config, stopped), plugins, display, tensors, stopped)
    opened = within_budget(opened, plugins, display, began)
    return decide(where_it_stands(opened, plugins, stopped), plugins, display, stopped)


def plan_phases(
    config: Config, plugins: Plugins, display: Display, tensors: Values = "empty"
) -> tuple[Prepared, tuple[Plan, ...]]:
    """Decide what a run will do in each of its phases; return what is ready for the first, and all plans."""
    ready = prepare(config, plugins, display, tensors)
    return ready, tuple(planned_phases(ready, plugins, display))


@one_run_at_a_time()
def finetune(
    config: Config, plugins: Plugins, display: Display, resume: Run | None = None, listeners: Sequence[Listener] = ()
) -> tuple[Run, Report]:
    """Fine-tune as `config` says, in a new run or on from where `resume` stopped, and report what came of it.

    What the run tells on the way is said on the display, to the config's trackers and to `listeners`. A run goes on
    from its last state, also where it was finished, and also with another freeze. Of several processes, as torchrun
    starts them, the first does what stands here, and the others follow it. Raises FtError for what the user can mend,
    also in a second thread that trains or another process, and StopAsked when a signal asked to stop; the state is then
    saved.
    """
    arrange_large_blocks()
    with joined(config.machine.device, config.machine.wait) as processes:
        if not processes.is_first:
            return follow(processes, plugins)
        listeners = (console(display), *open_trackers(config, plugins, display), *listeners)
        config, resume = begun_before(processes, config, resume)
        stopped = to_go_on(resume)
        ready = prepare(config, plugins, display, "pretrained", stopped)
        versions = versions_used(ready.whole, ready.built, plugins)
        run = stopped or start_run(ready.whole, versions, resume)
        processes.remember(str(run.path.absolute()))
        with at_work(run, listeners, processes) as (stop, tell):
            begin(run, ready, versions, stopped is not None, display, tell)
            for phase in each_phase(ready, run, plugins, versions, display, tell):
                lead(processes, run, phase)
                module, plan, job = phase.model.module, phase.plan, phase.job(display, stop, tell, processes)
                before = phase.frozen_digest()
                with (
                    noted_layers(phase.layers),
                    closing(open_feed(module, plan, phase.prefix, phase.store, job)) as feed,
                    run.paged_out(module, feed.idle),
                ):
                    give_back_freed_memory()
                    position = fit(module, plan, feed, job, run)
                    gathered = gathered_by(feed, phase)
                job.machine.place(module)
                after = phase.frozen_digest()
                note_ended(run, position, job.figure, after)

            best = run.save_best(module, plan)
            module.to("meta")  # so that it takes no memory beside the one that is rebuilt from what was saved
            otherwise = measured_otherwise(feed.cost.promise, plan.precision)
            measured = measure_saved(run, plugins, phase.store, job, otherwise)
            spent = time_spent(run, phase.opened.clock)
            outcome = Outcome(position, best, before, after, feed.cost, measured, begun_phases(run), spent)
            report = make_report(job.config, plan, outcome)
            run.write_json("report.json", report.plain())
            show(run, gathered, plugins, display)
            tell(RunEnded(report, run.files_of_report()))
        end(processes, run, report)
    return run, report
