"""`ft run` and `ft plan`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ft.cli.common import load_and_report, no_plugin_option
from ft.cli.ending import stopped_with_advice
from ft.cli.options import changes_from, config_from, config_options
from ft.cli.printing import tell_json
from ft.cli.processes import one_speaks, processes_option, start_processes, without_flag
from ft.machine.distributed import Share, processes_asked_for
from ft.machine.memory import garbage_waits
from ft.text.counting import number_of
from ft.text.names import typed
from ft.text.redaction import without_secrets


@click.command()
@config_options
@no_plugin_option
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN", help="continue a run, also with another --freeze"
)
@click.option(
    "--locked", type=click.Path(path_type=Path), metavar="RUN", help="repeat a run, with exactly the components it used"
)
@click.option("--trust-code", is_flag=True, help="import components that RUN names by file or module")
@processes_option
def run(nproc: int | None, **given: Any) -> None:
    """Fine-tune a backbone on your images.

    \b
      ft run --backbone torchvision:resnet18 --freeze all --data ./photos
      ft run --backbone torchvision:resnet50 --freeze all --train 'regex:layer4.*' --lr-decay 0.8
      ft run --resume runs/20260101-120000-torchvision-resnet18
      ft run --resume runs/20260101-120000-torchvision-resnet18 --freeze none --epochs 20 --lr 1e-4
      ft run --locked runs/20260101-120000-torchvision-resnet18 --seed 1
      ft run --backbone torchvision:resnet18 --freeze all --data ./photos --folds 5
      ft run --backbone torchvision:resnet18 --freeze all --data ./photos --nproc 2
    """
    if nproc is not None and processes_asked_for().world == 1:
        start_processes(nproc, without_flag(sys.argv[1:]))
    with one_speaks() as speaks:
        _run(speaks, **given)


def _run(
    speaks: bool,
    file: Path | None,
    sets: tuple[str, ...],
    resume: Path | None,
    locked: Path | None,
    trust_code: bool,
    **given: Any,
) -> None:
    with garbage_waits():
        from ft.cross_validation import asks_for_all_folds
        from ft.finetune import finetune
    from ft.cli.folds import resume_folds, run_folds
    from ft.following import check_together
    from ft.machine.display import Display, silent
    from ft.machine.ownership import strange_run
    from ft.run.folder import Run
    from ft.run.folds import Folds
    from ft.run.locked import check_locked
    from ft.run.report_text import print_report

    display = Display() if speaks else silent()
    plugins = load_and_report(speaks)
    old = Run(resume) if resume is not None else None
    for warning in strange_run(used) if (used := resume or locked) else ():
        display.warn(warning)
    if locked is not None and old is None:
        Run(locked).config(trust_code)  # it may name code, which would be run
        file = file or locked / "config.yaml"
    changes = changes_from(file, sets, given, plugins) if old else {}
    if old is not None and Folds.are_in(old.path):
        resume_folds(Folds(old.path), trust_code, changes, plugins, display)
        return
    config = old.config(trust_code, changes) if old else config_from(file, sets, given, plugins)
    if old is not None and (folder := old.started_in()) != Path.cwd():
        display.say(f"working in {folder}, where the run was started")
        old = Run(old.path.absolute())
        os.chdir(folder)
    check_together(config, processes_asked_for())
    plugins = plugins.preferring(config.prefer)
    if locked is not None:
        check_locked(config, plugins, Run(locked).versions_file(), str(locked))
    with stopped_with_advice("goes on" if old else "begins anew", display):
        if old is None and asks_for_all_folds(config):
            run_folds(config, plugins, display)
            return
        done, report = finetune(config, plugins, display, old)
    print_report(report, done.path, display)


@click.command()
@config_options
@no_plugin_option
@click.option("--json", "as_json", is_flag=True, help="the resolved config and the plan; ft run --config takes it")
@click.option(
    "--plan-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="write a config in which every phase says all that it may say, to be edited; ft run --config takes it",
)
@processes_option
def plan(
    file: Path | None, sets: tuple[str, ...], as_json: bool, plan_out: Path | None, nproc: int | None, **given: Any
) -> None:
    """Show exactly what `ft run` would do with the same flags. Trains nothing, and fetches nothing.

    Only where what is frozen follows from images, as with --freeze fisher:1, does it fetch the weights.
    """
    with garbage_waits():
        from ft.cross_validation import asks_for_all_folds, plan_folds
        from ft.finetune import plan_phases
    from ft.cli.folds import print_planned_folds
    from ft.following import check_together
    from ft.machine.display import Display
    from ft.phases import write_phases
    from ft.plan.text import print_phases
    from ft.tracking.trackers import check_trackers

    display = Display()
    plugins = load_and_report()
    config = config_from(file, sets, given, plugins)
    plugins = plugins.preferring(config.prefer)
    check_trackers(config, plugins, display)
    check_together(config, Share(0, nproc) if nproc is not None else processes_asked_for())
    if nproc is not None:
        display.say(f"ft run trains in {number_of(nproc, 'process', 'processes')}, each with a share of every batch")
    folds = plan_folds(config, plugins) if asks_for_all_folds(config) else ()
    ready, plans = plan_phases(config, plugins, display)
    if plan_out is not None:
        write_phases(plan_out, ready, plugins)
    if as_json:
        content: dict[str, Any] = {"config": ready.whole.model_dump(mode="json"), "plan": asdict(ready.plan)}
        content |= {"later_plans": [asdict(each) for each in plans[1:]]} if len(plans) > 1 else {}
        tell_json(without_secrets(content | ({"folds": [asdict(each) for each in folds]} if folds else {})))
    else:
        print_phases(plans, display, nproc)
        print_planned_folds(folds, display)
    if plan_out is not None:
        display.say(
            f"{plan_out} holds this config, to be edited; run it with: {typed('ft', 'run', '--config', plan_out)}"
        )
