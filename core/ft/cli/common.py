"""What several commands need."""

from __future__ import annotations

import click

from ft.plugins import Plugins, load_plugins


def load_and_report() -> Plugins:
    """Load the installed plugins; each broken one costs a line on stderr."""
    plugins = load_plugins()
    for plugin in plugins.broken():
        name = f"{plugin.distribution} {plugin.version} ({plugin.module})"
        click.secho(f"warning: plugin {name} could not be loaded: {plugin.error}", fg="yellow", err=True)
    return plugins
