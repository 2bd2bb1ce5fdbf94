"""`ft plugins check`."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import click

from ft.cli.common import load_and_report
from ft.cli.completion import complete_distribution
from ft.errors import FtError, did_you_mean
from ft.plugins import Component, Plugin
from ft.switches import normal

_RESULTS = ("passed", "failed", "skipped")
_KEYS = ("component", "check", "result", "why")
Row = tuple[str, str, str, str]
"""Component, check, one of the results, why."""


@click.command()
@click.argument("distribution", required=False, metavar="[DISTRIBUTION]", shell_complete=complete_distribution)
@click.option("--verbose", "-v", is_flag=True, help="show each check, and why one was skipped")
@click.option("--json", "as_json", is_flag=True, help="print JSON, with each check")
@click.pass_context
def check(ctx: click.Context, distribution: str | None, verbose: bool, as_json: bool) -> None:
    """Run the conformance kit against what is installed, or against one DISTRIBUTION. Exits with 1 if it fails."""
    from ft.cli.layout import print_table

    installed = load_and_report()
    chosen = [p for p in installed.all if distribution is None or normal(p.distribution) == normal(distribution)]
    if not chosen:
        known = sorted({plugin.distribution for plugin in installed.all})
        near = did_you_mean(distribution or "", known)
        raise FtError(f"no plugin of a distribution '{distribution}' is installed.{near} Installed: {', '.join(known)}")
    rows = list(_checked(chosen))
    failed = [(name, what, why) for name, what, result, why in rows if result == "failed"]
    if as_json:
        click.echo(json.dumps([dict(zip(_KEYS, row, strict=True)) for row in rows], indent=2, ensure_ascii=False))
        ctx.exit(1 if failed else 0)
    counts = {name: Counter(row[2] for row in rows if row[0] == name) for name in dict.fromkeys(row[0] for row in rows)}
    if verbose:
        print_table(_KEYS, rows)
    else:
        totals = [(name, *(n[r] or "-" for r in _RESULTS)) for name, n in counts.items()]
        print_table(("component", *_RESULTS), totals, right=_RESULTS)
    for name, what, why in failed:
        click.echo(f"{name}: not so: {what}: {why}")
    if failed:
        ctx.exit(1)


def _checked(chosen: list[Plugin]) -> Iterator[Row]:
    from ft.testing.worker import spawned_worker

    with spawned_worker() as worker:
        for plugin in chosen:
            if plugin.state != "ok":
                result = "failed" if plugin.state == "broken" else "skipped"
                yield f"{plugin.distribution}: {plugin.name}", "it can be loaded", result, plugin.error
            for component in plugin.components:
                yield from _check(component, plugin, worker)


def _check(component: Component, plugin: Plugin, worker: Executor) -> Iterator[Row]:
    from ft.testing.checks import CHECKS, usual_arguments
    from ft.testing.trial import NotApplicable, NotSo, Trial

    for each in CHECKS[component.kind.name]:
        name = f"{component.kind.name}:{component.name}"
        with tempfile.TemporaryDirectory() as folder:
            reference = f"{component.distribution}/{component.name}"
            try:
                arguments = usual_arguments(component)
                trial = Trial(component, reference, plugin, Path(folder), worker, arguments, guessed=True)
                each(trial)
                result, why = "passed", ""
            except NotApplicable as reason:
                result, why = "skipped", str(reason)
            except (Exception, SystemExit) as error:  # a stranger's code: whatever it raises is a finding
                kind = "" if isinstance(error, NotSo | FtError) else f"{type(error).__name__}: "
                result, why = "failed", f"{kind}{error}" or type(error).__name__
        yield name, each.__name__.replace("_", " "), result, " ".join(why.split())
