"""`ft plugins why NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distributions

import click

from ft.cli.common import load_and_report
from ft.cli.completion import complete_described
from ft.cli.printing import tell, tell_json
from ft.errors import FtError, did_you_mean
from ft.extension.installed import SLOW, Component, Plugin, Plugins
from ft.extension.kinds import KINDS


@click.command()
@click.argument("name", shell_complete=complete_described)
@click.option("--json", "as_json", is_flag=True, help="print JSON: the same lines")
def why(name: str, as_json: bool) -> None:
    """Say who provides NAME (a component, a model or a plugin), who else does, and how to choose.

    \b
      ft plugins why vgg16
      ft plugins why freeze:regex
    """
    installed = load_and_report()
    lines = [*_components(name, installed), *_models(name, installed), *_plugins(name, installed)]
    if not lines:
        raise FtError(_unknown(name, installed))
    left_out = (
        plugin for plugin in installed.all if plugin.state == "disabled"
    )  # a broken one has been said on stderr
    lines += [f"{_of(plugin)} is left out and may provide it too: {plugin.error}" for plugin in left_out]
    if as_json:
        tell_json(lines)
    else:
        tell(*lines)


def _components(name: str, installed: Plugins) -> Iterator[str]:
    kind, colon, rest = name.partition(":")
    kinds, wanted = ([kind], rest) if colon and kind in KINDS else (list(KINDS), name)
    for each in kinds:
        found = [c for c in installed.components(each) if wanted in (c.name, f"{c.distribution}/{c.name}")]
        yield from _who(found, each)


def _models(name: str, installed: Plugins) -> Iterator[str]:
    from ft.model.catalogue import list_models

    provider, _, model = name.rpartition(":")
    owners = [c for c, name in list_models(installed)[0] if provider in ("", c.name) and model == name]
    for each in dict.fromkeys(c.name for c in owners):
        yield f"model {model}: use it as {each}:{model}"
        yield from _who([c for c in owners if c.name == each], "backbone")


def _who(found: list[Component], kind: str) -> Iterator[str]:
    for component in found:
        yield f"{component.kind.noun} {component.name}: provided by {component.distribution} {component.version}"
    if len(found) > 1:
        one = found[0]
        yield f"  none of these {len(found)} goes before the others, so '{one.name}' alone is an error; choose with"
        yield from (f"    {c.distribution}/{c.name}" for c in found)
        yield f"  or for good, in a config file: prefer: {{{kind}:{one.name}: {one.distribution}}}"


def _plugins(name: str, installed: Plugins) -> Iterator[str]:
    for plugin in installed.all:
        if name in (plugin.name, plugin.distribution):
            state = f"{plugin.state}: {plugin.error}" if plugin.error else f"imported in {plugin.seconds * 1000:.0f} ms"
            yield f"plugin {plugin.name}: module {plugin.module} of {_of(plugin)}, {state}"
            if plugin.warning:
                yield f"  it may not work: {plugin.warning}"
            if plugin.state == "broken" or plugin.seconds > SLOW:
                yield f"  it may be mended by an upgrade: pip install --upgrade {plugin.distribution}"
                yield f"  leave it out with --no-plugin {plugin.name}, or always: FT_DISABLE_PLUGINS={plugin.name}"
            provided = ", ".join(f"{c.kind.name}:{c.name}" for c in plugin.components)
            yield f"  provides {provided or 'nothing as it is'}"
            yield from _hidden(plugin)


def _hidden(plugin: Plugin) -> Iterator[str]:
    """Other installations of the same distribution: the first on Python's search path counts."""
    copies = list(distributions(name=plugin.distribution))
    for copy in copies[1:]:
        place = copy.locate_file("")
        if place != copies[0].locate_file(""):
            yield f"  hides {plugin.distribution} {copy.version} in {place}, which is later on Python's search path"


def _unknown(name: str, installed: Plugins) -> str:
    from ft.model.catalogue import list_models

    known = [c.name for c in installed.components()] + [p.name for p in installed.all]
    known += [model for _, model in list_models(installed)[0]]
    lines = [f"nothing that is installed is named '{name}'.{did_you_mean(name, known)} See ft plugins and ft models"]
    unused = [plugin for plugin in installed.all if plugin.state != "ok"]
    return "\n".join([*lines, *(f"{_of(p)} is {p.state} and may provide it: {p.error}" for p in unused)])


def _of(plugin: Plugin) -> str:
    return f"{plugin.distribution} {plugin.version}"
