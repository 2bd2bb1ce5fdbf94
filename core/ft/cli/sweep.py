"""`ft sweep`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import left_out, load_and_report, no_plugin_option
from ft.cli.completion import complete_set
from ft.cli.options import chosen_flags, config_options
from ft.cli.printing import tell_json
from ft.config.files import as_tree, read_tree
from ft.config.recipes import said_by
from ft.config.starting import STARTS
from ft.errors import FtError
from ft.extension.settings import validate
from ft.machine.memory import garbage_waits
from ft.machine.signals import StopAsked

if TYPE_CHECKING:
    from ft.extension.installed import Plugins
    from ft.machine.display import Display
    from ft.tuning.folder import Sweep
    from ft.tuning.records import SweepConfig

SECTION = "sweep"
"""The section of a config file that is the sweep's, and no run's."""
OWN = ("over", "trials", "sampler", "pruner", "timeout", "storage", "parallel")


@click.command()
@click.option(
    "--over",
    multiple=True,
    metavar="KEY=VALUES",
    shell_complete=complete_set,
    help="sweep over a flag of ft run, or any key: lr=1e-5..1e-2:log, batch-size=16,32, freeze=all,depth:50%",
)
@click.option("--trials", type=click.IntRange(1), metavar="N", help="how many in all; default: 20, or the whole grid")
@click.option("--sampler", metavar="NAME", help="who chooses: tpe (default), random, grid, gp, cmaes, qmc")
@click.option("--pruner", metavar="NAME", help="who ends trials early: median (default), percentile, halving, "
              "hyperband, none")  # fmt: skip
@click.option("--timeout", metavar="TIME", help="after so long, as 2h, no trial begins any more")
@click.option("--parallel", type=click.IntRange(1, 256), metavar="N", help="trials at once, each in its own process")
@click.option(
    "--storage",
    envvar="FT_SWEEP_STORAGE",
    metavar="ADDRESS",
    help="a database that Optuna supports, as sqlite:///FILE; default: a journal in the sweep's folder",
)
@click.option("--join", type=click.Path(path_type=Path), metavar="SWEEP", help="go on with a sweep, or work along")
@click.option("--trust-code", is_flag=True, help="import components that SWEEP names by file or module")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.option("--worker", hidden=True)
@config_options
@no_plugin_option
def sweep(
    file: Path | None, sets: tuple[str, ...], join: Path | None, worker: str | None, as_json: bool, **given: Any
) -> None:
    """Run many trials over some settings, each a run as `ft run` makes it, and see which values are good.

    \b
      ft sweep --backbone torchvision:resnet18 --data ./photos --over lr=1e-5..1e-2:log --over freeze=all,depth:50%
      ft sweep --config sweep.yaml --trials 50 --parallel 4
      ft sweep --join runs/20260101-120000-torchvision-resnet18-sweep

    What is not swept over is fixed by the flags of `ft run`, which follow below.
    """
    from ft.tuning.records import check_installed

    check_installed()
    with garbage_waits():
        from ft.tuning.sweep import Running, run_sweep
    from ft.machine.display import Display
    from ft.tuning.text import print_swept
    from ft.tuning.workers import keep_to_share, stop_with_parent

    display, plugins = Display(), load_and_report()
    own = {name: given.pop(name) for name in OWN}
    trust_code = given.pop("trust_code")
    if worker is not None:
        number, _, count = worker.partition("/")
        keep_to_share(int(number), int(count))
        stop_with_parent()
    if join is None:
        wanted, found = _begun(file, sets, given, own, plugins)
        display.say(f"sweep folder {found.path}")
    else:
        wanted, found = _joined(join, (file, sets, given), own, trust_code)
        found = _where_it_began(found, display)
    running = Running(wanted.parallel, _words(wanted), wanted.seconds, worker is not None)
    with _stopped_with_advice(found, display):
        swept = run_sweep(found, running, plugins, display)
    if worker is not None:
        return
    if as_json:
        tell_json(swept.plain())
    else:
        print_swept(swept, display)


def _begun(
    file: Path | None, sets: tuple[str, ...], given: dict[str, Any], own: Mapping[str, Any], plugins: Plugins
) -> tuple[SweepConfig, Sweep]:
    """A new sweep, or the very same one in its folder. Raises FtError for what cannot be."""
    from ft.tuning.beginning import begin_sweep
    from ft.tuning.records import SweepConfig

    content = read_tree(file) if file is not None else {}
    section = content.pop(SECTION, None) or {}
    if not isinstance(section, Mapping):
        raise FtError(f"{SECTION} in {file} is no mapping; it begins like 'over: {{lr: 1e-5..1e-2:log}}'")
    wanted = validate(SweepConfig, {**section, **_said(own, section)}, SECTION)
    flags = chosen_flags(given)
    named = {*flags, *wanted.over, *content}
    if not sets and named.isdisjoint(STARTS) and "backbone" not in said_by(flags.get("recipe"), plugins):
        raise FtError("which backbone? Write --backbone PROVIDER:MODEL, as in torchvision:resnet18 (see ft models)")
    return wanted, begin_sweep(wanted, content, sets, flags, plugins)


def _said(own: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags say of the sweep: keys to sweep over are added to those of the file, or go over them."""
    from ft.tuning.space import read_over

    said = {name: value for name, value in own.items() if value not in (None, ())}
    for name in ("sampler", "pruner"):
        if name in said:
            said[name] = as_tree(said[name], f"--{name} {said[name]}")
    if "over" in said:
        pairs = [read_over(text) for text in said["over"]]
        if twice := next((name for name, _ in pairs if [each for each, _ in pairs].count(name) > 1), None):
            raise FtError(f"--over {twice} is there twice; give all its values in one, as in {twice}=A,B,C")
        before = section.get("over")
        said["over"] = {**(before if isinstance(before, Mapping) else {}), **dict(pairs)}
    return said


def _joined(
    join: Path, config: tuple[Path | None, tuple[str, ...], dict[str, Any]], own: Mapping[str, Any], trust_code: bool
) -> tuple[SweepConfig, Sweep]:
    """A sweep that goes on. Raises FtError for flags that would make it another one."""
    from ft.machine.ownership import strange_run
    from ft.tuning.folder import join_sweep
    from ft.tuning.records import SweepConfig

    file, sets, given = config
    others = [*(name for name in ("over", "sampler", "pruner") if own[name]), *chosen_flags(given)]
    others += ["--config"] * (file is not None) + ["--set"] * bool(sets)
    if others:
        raise FtError(
            f"--join goes on with a sweep as it was begun; leave out {', '.join(others)}. Beside it there may be "
            "--trials, --timeout, --parallel, --storage and --trust-code"
        )
    said = {name: own[name] for name in ("timeout", "parallel") if own[name] is not None}
    for warning in strange_run(join):
        from ft.cli.printing import warn

        warn(warning)
    return validate(SweepConfig, said, SECTION), join_sweep(join, own["storage"], trust_code, own["trials"])


def _where_it_began(found: Sweep, display: Display) -> Sweep:
    """The sweep, with this process in the folder where it was begun, from which paths in the config lead."""
    began = found.file.started_in
    if not began or not os.path.isdir(began) or Path(began) == Path.cwd():
        return found
    display.say(f"working in {began}, where the sweep was started")
    found = replace(found, path=found.path.absolute())
    os.chdir(began)
    return found


def _words(wanted: SweepConfig) -> list[str]:
    """What workers are told on their command line."""
    words = ["--trust-code", *(word for name in left_out() for word in ("--no-plugin", name))]
    return [*words, "--timeout", wanted.timeout] if wanted.timeout else words


@contextmanager
def _stopped_with_advice(found: Sweep, display: Display) -> Iterator[None]:
    """A block in which trials run: a signal ends the command with 128 + its number, and with what to type to go on."""
    try:
        yield
    except StopAsked as asked:
        go_on = found.found(()).go_on()
        display.warn(f"{asked}; the states of its trials are saved. Continue with: {go_on}")
        sys.exit(128 + asked.signal_number)
