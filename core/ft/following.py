"""What the other processes of a run do while the first one goes the straight path: each takes its share of every step,
and writes and prints nothing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from ft.config.schema import Config
from ft.data.order import check_shared
from ft.deciding import Prepared, decide
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.machine.display import Display, silent
from ft.machine.distributed import Processes, Share, check_divided
from ft.machine.randomness import seed_all
from ft.machine.signals import stop_on_signals
from ft.model.layer_notes import noted_layers
from ft.opening import open_run
from ft.phases import where_it_stands
from ft.run.folder import Run, go_on_from
from ft.run.report import Report
from ft.tracking.events import Event
from ft.training.feeds import open_feed
from ft.training.fit import fit


def check_together(config: Config, share: Share) -> None:
    """Raise FtError for what processes cannot share."""
    check_divided(config.machine, share)
    check_shared(config.training.batch_size, share)
    if config.machine.shard and config.training.auto_batch:
        raise FtError(
            "--auto-batch computes a step again where memory runs out, and with --shard the others wait for this "
            "process in the middle of it; leave one of them out"
        )
    if config.split.folds and share.world > 1:
        raise FtError("folds are trained one after the other, in one process: leave out --folds, or --nproc")


def begun_before(processes: Processes, config: Config, resume: Run | None) -> tuple[Config, Run | None]:
    """What is asked for and the run to go on with or, where processes are started again in place of some that ended,
    those of the run that these had begun. Raises FtError for what processes cannot share."""
    check_together(config, processes.share)
    folder = processes.remembered()
    if folder is None:
        return config, resume
    begun = Run(Path(folder))
    return begun.config(trust_code=True), begun


def lead(processes: Processes, run: Run, ready: Prepared) -> None:
    """Let the others begin a phase that is ready, and see that they come to the same."""
    if processes.alone:
        return
    processes.tell({"folder": str(run.path.absolute()), "config": ready.whole.model_dump(mode="json")})
    _agree(processes, ready)


def end(processes: Processes, run: Run, report: Report) -> None:
    """Let the others know that the run is over, and what came of it."""
    if not processes.alone:
        processes.tell(None)
        processes.gathered((run.path.absolute(), report))


def follow(processes: Processes, plugins: Plugins) -> tuple[Run, Report]:
    """Take this process's share of a run that the first one leads, phase by phase: as one that goes on with the run's
    last state. Return the folder of the run and what came of it, as the first one has them."""
    display = silent()
    while (told := processes.told()) is not None:
        _phase(processes, told, plugins, display)
    path, report = processes.gathered(None)[0]
    return Run(path, writes=False), report


def _phase(processes: Processes, told: dict[str, Any], plugins: Plugins, display: Display) -> None:
    processes.doing("reading images and building the network")
    run, config = Run(Path(told["folder"]), writes=False), Config.model_validate(told["config"])
    if not run.path.is_dir():
        raise FtError(f"{run.path} cannot be seen from here; every machine needs the folder of the run: a shared disk")
    stopped = run if run.has_checkpoint("last") else None
    seed_all(config.seed)  # for whatever plugins draw while they decide
    opened = open_run(config, plugins, display, "pretrained", stopped)
    ready = decide(where_it_stands(opened, plugins, stopped), plugins, display, stopped)
    _agree(processes, ready)
    with stop_on_signals(run.path, often=True) as stop, processes.losses_explained(go_on_from(run)):
        module, plan, job = ready.model.module, ready.plan, ready.job(display, stop, _nobody, processes)
        with (
            noted_layers(ready.layers),
            closing(open_feed(module, plan, ready.prefix, ready.store, job)) as feed,
            run.paged_out(module, feed.idle),
        ):
            if not job.stepping.alone:
                fit(module, plan, feed, job, run)


def _agree(processes: Processes, ready: Prepared) -> None:
    """Raise FtError where a process has come to another plan than the first, or to other frozen tensors: it sees other
    images, or has other versions of what is installed."""
    processes.doing("comparing plans")
    mine = ((ready.plan.digest(), ready.plan.cache), ready.frozen_digest())
    first, *others = processes.gathered(mine)
    for rank, other in enumerate(others, start=1):
        if other != first:
            what = "plan" if other[0] != first[0] else "network"
            raise FtError(
                f"process {rank} comes to another {what} than process 0; all machines need the same images, ft, torch "
                "and plugins"
            )


def _nobody(event: Event) -> None:
    """The first process tells what becomes of the run."""
