"""`ft plugins` and `ft describe`."""

from __future__ import annotations

from typing import Any

import click

from ft.cli.common import hand_json_on, load_and_report, no_plugin_option
from ft.cli.completion import complete_described
from ft.cli.plugin_check import check
from ft.cli.plugin_new import new
from ft.cli.plugin_why import why
from ft.cli.printing import tell, tell_json, tell_prose, tell_title
from ft.errors import FtError, nearest
from ft.extension.description import Description, describe as describe_component
from ft.extension.installed import settings_class
from ft.extension.kinds import KINDS
from ft.extension.references import parse_reference


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@no_plugin_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List what is installed, and where it came from; `ft plugins new` starts a plugin of your own."""
    hand_json_on(ctx, as_json)
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins, as_json=as_json)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_plugins(as_json: bool) -> None:
    """List components: kind, name, distribution, version, state, and how long importing the plugin took."""
    installed = load_and_report()
    owner = {component: plugin for plugin in installed.all for component in plugin.components}
    found: list[tuple[Any, ...]] = [
        (c.kind.name, c.name, c.distribution, c.version, "ok", c.record.summary, owner[c])
        for c in installed.components()
    ]
    unused = [plugin for plugin in installed.all if plugin.state != "ok"]
    found += [("?", p.name, p.distribution, p.version, p.state, p.error, p) for p in unused]
    found = [(*row, round(plugin.seconds * 1000, 1), plugin.warning) for *row, plugin in found]
    if as_json:
        keys = ("kind", "name", "distribution", "version", "state", "summary", "import_ms", "warning")
        tell_json([dict(zip(keys, row, strict=True)) for row in found])
        return
    from ft.machine.layout import Columns, print_table

    rows = [
        (kind, name, f"{dist} {version}", state, f"{ms:.0f} ms", text)
        for kind, name, dist, version, state, text, ms, _ in found
    ]
    headers = ("kind", "name", "distribution", "state", "import", "what it does")
    spare = ("import", *(() if unused else ("state",)))
    print_table(headers, rows, Columns(right=("import",), prose="what it does", squeeze=("distribution",), spare=spare))


plugins.add_command(new)
plugins.add_command(why)
plugins.add_command(check)


@click.command()
@click.argument("component", metavar="KIND:NAME", shell_complete=complete_described)
@click.option("--json", "as_json", is_flag=True, help="print the settings' JSON schema")
def describe(component: str, as_json: bool) -> None:
    """Explain a component and its settings, as in `ft describe freeze:regex`."""
    kind, colon, name = component.partition(":")
    installed = load_and_report()
    if not colon or kind not in KINDS:
        whole = {kind: kind for kind in KINDS} | {c.name: f"{c.kind.name}:{c.name}" for c in installed.components()}
        near = [whole[name] for name in nearest(kind, whole, most=1)]
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise FtError(f"write KIND:NAME, as in freeze:regex.{hint} Kinds: {', '.join(KINDS)}")
    found = installed.get(kind, parse_reference(name))
    if as_json:
        tell_json(settings_class(found).model_json_schema())
    else:
        print_description(describe_component(found))


def print_description(about: Description) -> None:
    """Print what a component is, its documentation, an example and its settings."""
    from ft.machine.layout import Columns, print_table

    tell_title(about.title, f"   from {about.origin}")
    tell_prose(f"\n{about.summary}")
    if about.documentation:
        tell_prose(f"\n{about.documentation}")
    if about.example:
        tell_prose(f"\n  {about.example}")
    tell_prose("\nSettings:" if about.settings else "\nIt takes no settings.")
    if about.settings:
        rows = [(row.key, row.type, row.default, row.description) for row in about.settings]
        print_table(("setting", "type", "default", "what it does"), rows, Columns(prose="what it does"))
        tell(about.how_to_set)
