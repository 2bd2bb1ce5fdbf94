"""`ft plugins check`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path

import click

from ft.cli.common import load_and_report
from ft.cli.completion import complete_distribution
from ft.cli.printing import tell, tell_json
from ft.errors import FtError, did_you_mean
from ft.extension.installed import Component, Plugin
from ft.extension.switches import normal

_RESULTS = ("passed", "failed", "skipped")
_KEYS = ("component", "check", "result", "why")
Row = tuple[str, str, str, str]
"""Component, check, one of the results, why."""


@click.command()
@click.argument("distribution", required=False, metavar="[DISTRIBUTION]", shell_complete=complete_distribution)
@click.option("--models", default="1", metavar="N|PATTERN", help="models of each provider: so many, or 'resnet*'")
@click.option("--verbose", "-v", is_flag=True, help="show each check, and why one was skipped")
@click.option("--json", "as_json", is_flag=True, help="print JSON, with each check")
@click.pass_context
def check(ctx: click.Context, distribution: str | None, models: str, verbose: bool, as_json: bool) -> None:
    """Run the conformance kit against what is installed, or against one DISTRIBUTION. Exits with 1 if it fails.

    One model of each provider is tried, or as many as --models says.

    \b
      ft plugins check
      ft plugins check ftkit --models 5
      ft plugins check ftkit --models 'resnet*'
    """
    from ft.machine.layout import Columns, print_table

    installed = load_and_report()
    chosen = [p for p in installed.all if distribution is None or normal(p.distribution) == normal(distribution)]
    if not chosen:
        known = sorted({plugin.distribution for plugin in installed.all})
        near = did_you_mean(distribution or "", known)
        raise FtError(f"no plugin of a distribution '{distribution}' is installed.{near} Installed: {', '.join(known)}")
    tried = dict(_tried(chosen, models))
    rows = list(_checked(chosen, models))
    failed = [(name, what, why) for name, what, result, why in rows if result == "failed"]
    if as_json:
        tell_json([dict(zip(_KEYS, row, strict=True)) for row in rows])
        ctx.exit(1 if failed else 0)
    counts = {name: Counter(row[2] for row in rows if row[0] == name) for name in dict.fromkeys(row[0] for row in rows)}
    if verbose:
        print_table(_KEYS, rows)
    else:
        totals = [(name, *(n[r] or "-" for r in _RESULTS)) for name, n in counts.items()]
        print_table(("component", *_RESULTS), totals, Columns(right=_RESULTS))
    for name, (names, of) in tried.items():
        which = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        more = "; --models 5 or --models 'PATTERN' tries more" if len(names) < of else ""
        tell(f"{name}: tried {len(names)} of {of} models ({which or 'none'}){more}")
    for name, what, why in failed:
        tell(f"{name}: not so: {what}: {why}")
    if failed:
        ctx.exit(1)


def _tried(chosen: list[Plugin], models: str) -> Iterator[tuple[str, tuple[list[str], int]]]:
    """Of each provider, the models that will be tried, of how many that it lists. Raises FtError where none will be."""
    from ft.testing.checks import chosen_models, listed_models
    from ft.testing.trial import NotApplicable

    providers = [c for plugin in chosen for c in plugin.components if c.kind.name == "backbone"]
    known: list[str] = []
    chosen_any = False
    for component in providers:
        with suppress(NotApplicable):
            listed = listed_models(component)
            known += listed
            names = chosen_models(listed, models)
            chosen_any |= bool(names)
            if listed:
                yield f"backbone:{component.name}", (names, len(listed))
    if models != "1" and not chosen_any:
        where = f"{did_you_mean(models, known)} See ft models" if known else " Nothing that is checked lists models"
        raise FtError(f"--models {models} chooses no model.{where}")


def _checked(chosen: list[Plugin], models: str) -> Iterator[Row]:
    from ft.testing.worker import spawned_worker

    with spawned_worker() as worker:
        for plugin in chosen:
            if plugin.state != "ok":
                result = "failed" if plugin.state == "broken" else "skipped"
                yield f"{plugin.distribution}: {plugin.name}", "it can be loaded", result, plugin.error
            for component in plugin.components:
                yield from _check(component, plugin, worker, models)


def _check(component: Component, plugin: Plugin, worker: Executor, models: str) -> Iterator[Row]:
    from ft.testing.checks import CHECKS, usual_arguments
    from ft.testing.trial import NotApplicable, NotSo, Trial

    for each in CHECKS[component.kind.name]:
        name = f"{component.kind.name}:{component.name}"
        with tempfile.TemporaryDirectory() as folder:
            reference = f"{component.distribution}/{component.name}"
            try:
                arguments = usual_arguments(component, models)
                trial = Trial(component, reference, plugin, Path(folder), worker, arguments, guessed=True)
                each(trial)
                result, why = "passed", ""
            except NotApplicable as reason:
                result, why = "skipped", str(reason)
            except (Exception, SystemExit) as error:  # a stranger's code: whatever it raises is a finding
                kind = "" if isinstance(error, NotSo | FtError) else f"{type(error).__name__}: "
                result, why = "failed", f"{kind}{error}" or type(error).__name__
        yield name, each.__name__.replace("_", " "), result, " ".join(why.split())
