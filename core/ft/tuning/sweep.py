"""A sweep from beginning to end: the study opened, trials run here or by workers, and all that came of it written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.machine.files import publish_text
from ft.machine.signals import StopAsked
from ft.tuning.folder import Sweep, publish_results
from ft.tuning.page import sweep_page
from ft.tuning.records import PAGE, Swept
from ft.tuning.study import Study
from ft.tuning.work import Progress, check_hopeful, work
from ft.tuning.workers import Crew, run_workers


@dataclass(frozen=True)
class Running:
    """How a sweep is run now: in how many processes, what each is told beside the folder, and for how many seconds
    trials begin. A `worker` runs trials, and leaves it to who started it to say what came of them."""

    parallel: int = 1
    words: Sequence[str] = ()
    seconds: float | None = None
    worker: bool = False


def run_sweep(sweep: Sweep, running: Running, plugins: Plugins, display: Display) -> Swept:
    """Run what is left of a sweep, and return what came of all of it. Raises FtError where no trial came to anything,
    and StopAsked, whose folder is the sweep's, once the states of its trials are saved."""
    study = Study(sweep.path, sweep.file, sweep.space, sweep.storage)
    before = sum(each.ended for each in study.trials())
    try:
        with display.progress("sweep", sweep.file.trials, before, "trials") as bar:
            progress = Progress(sweep, display, bar)
            deadline = None if running.seconds is None else time.monotonic() + running.seconds
            if running.parallel > 1:
                crew = Crew(running.parallel, running.words, _gpus(sweep))
                run_workers(sweep, study, crew, progress)
            else:
                work(sweep, study, plugins, progress, deadline)
    except StopAsked as asked:
        raise StopAsked(asked.signal_number, sweep.path) from None
    finally:
        if not running.worker:
            found = write_down(sweep, study)
    if running.worker:
        return sweep.found(study.trials())
    check_hopeful([each for each in found.trials if each.state == "failed"], found.trials, found.wanted)
    return found


def write_down(sweep: Sweep, study: Study) -> Swept:
    """Publish what came of a sweep so far: results.json and sweep.html."""
    found = sweep.found(study.trials(), study.importance())
    publish_results(sweep, found)
    publish_text(sweep.path / PAGE, sweep_page(found, sweep.space))
    return found


def _gpus(sweep: Sweep) -> tuple[str, ...]:
    """The GPUs that workers share, by number, where trials compute on whichever there is."""
    import torch

    device = sweep.file.asked.flags.get("machine.device", "auto")
    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return ()
    return tuple(map(str, range(torch.cuda.device_count())))
