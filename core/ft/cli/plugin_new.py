"""`ft plugins new KIND NAME`."""

from __future__ import annotations

from pathlib import Path

import click

from ft.cli.common import load_and_report
from ft.cli.printing import tell
from ft.extension.kinds import KINDS
from ft.text.names import typed


@click.command()
@click.argument("kind", metavar=f"[{'|'.join(KINDS)}]")
@click.argument("name")
@click.option("--into", default=".", type=click.Path(path_type=Path), metavar="DIR", help="where; default: here")
def new(kind: str, name: str, into: Path) -> None:
    """Write a complete plugin, with tests, into a new folder: `ft plugins new freeze my-strategy`."""
    from ft.scaffold import write_plugin

    folder = write_plugin(kind, name, into, load_and_report())
    tell(f"{folder} is a working {KINDS[kind].noun}. Install it, test it, then change it:")
    tell(f"  {typed('cd', folder)}", "  pip install -e '.[test]'", "  pytest", f"  ft describe {kind}:{name}")
