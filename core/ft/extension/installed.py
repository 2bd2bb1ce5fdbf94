"""What is installed, which component a reference means, and how a component's functions and settings are got at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from ft.errors import FtError, did_you_mean, nearest
from ft.extension.calls import noted, raised_at, through_the_door
from ft.extension.discovery import Component as Component, Plugin as Plugin, installed_plugins, load_plugin
from ft.extension.kinds import KINDS
from ft.extension.references import Reference
from ft.extension.switches import normal, read_switches
from ft.text.counting import with_article

R = TypeVar("R")


@dataclass(frozen=True)
class Plugins:
    """Everything that is installed; asked for one component at a time.

    `prefer` says for KIND:NAME, as in freeze:regex, which distribution is meant where several provide it.
    """

    all: tuple[Plugin, ...]
    prefer: Mapping[str, str] = field(default_factory=dict)

    def preferring(self, prefer: Mapping[str, str]) -> Plugins:
        """Return these plugins with other preferences. Raises FtError for one that nothing installed can meet."""
        for key, distribution in prefer.items():
            kind, _, name = key.partition(":")
            if kind not in KINDS:
                raise FtError(f"setting 'prefer.{key}': write KIND:NAME, as in freeze:regex. Kinds: {', '.join(KINDS)}")
            if not self.has(kind, f"{distribution}/{name}"):
                owners = [f"{c.distribution}" for c in self._named(kind, name)]
                raise FtError(
                    f"setting 'prefer.{key}': {distribution} provides no {KINDS[kind].noun} named '{name}'; "
                    f"provided by: {', '.join(owners) or 'nothing that is installed'}"
                )
        return replace(self, prefer=dict(prefer))

    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.all if plugin.state == "broken"]

    def components(self, kind: str | None = None) -> list[Component]:
        """All components of `kind` (or of every kind), by name."""
        found = [c for plugin in self.all for c in plugin.components if kind is None or c.kind.name == kind]
        return sorted(found, key=lambda c: (list(KINDS).index(c.kind.name), c.name, c.distribution))

    def has(self, kind: str, name: str) -> bool:
        return bool(self._named(kind, name))

    def get(self, kind: str, reference: Reference) -> Component:
        """Return the component that `reference` names. Raises FtError for none, for more than one, and for an argument
        where components of that kind take none."""
        component = self._get(kind, reference)
        if reference.argument is not None and not KINDS[kind].takes_argument:
            said = f"{kind} '{component.name}' takes settings, not an argument"
            raise FtError(f"{said}; write --set {KINDS[kind].key.path}.KEY=VALUE")
        return component

    def _get(self, kind: str, reference: Reference) -> Component:
        if reference.place != "plugin":
            from ft.extension.unpackaged import load_unpackaged  # only such references pay for it

            return load_unpackaged(KINDS[kind], reference)
        found = self._named(kind, reference.name)
        if len(found) == 1:
            return found[0]
        if found:
            raise FtError(self._ambiguous(kind, reference, found))
        raise FtError(self._unknown(kind, reference.name))

    def _named(self, kind: str, name: str) -> list[Component]:
        distribution, slash, short = name.rpartition("/")
        found = [c for c in self.components(kind) if c.name == short]
        wanted = distribution if slash else self.prefer.get(f"{kind}:{short}")
        return [c for c in found if wanted is None or normal(c.distribution) == normal(wanted)]

    def _ambiguous(self, kind: str, reference: Reference, found: list[Component]) -> str:
        argument = "" if reference.argument is None else f":{reference.argument}"
        lines = [f"  {c.distribution}/{reference.name}{argument}   ({c.distribution} {c.version})" for c in found]
        return "\n".join(
            [
                f"more than one {KINDS[kind].noun} is named '{reference.name}'. Write which one you mean:",
                *lines,
                f"or say it once, in a config file: prefer: {{{kind}:{reference.name}: {found[0].distribution}}}",
            ]
        )

    def _unknown(self, kind: str, name: str) -> str:
        known = list(dict.fromkeys(c.name for c in self.components(kind)))
        near = did_you_mean(name, known)
        text = f"no {KINDS[kind].noun} named '{name}'.{near} Installed: {', '.join(known) or 'none'}"
        if KINDS[kind].hint and not near:
            text += f"\n{KINDS[kind].hint.replace('NAME', name)}"
        elsewhere = [c.kind for c in self.components() if c.name == name]
        if elsewhere:
            text += f"\n'{name}' is {with_article(elsewhere[0].noun)}"
        for plugin in self.broken():
            text += f"\n{plugin.distribution} {plugin.version} could not be loaded and may provide it: {plugin.error}"
        for plugin in self.all:
            if plugin.state == "disabled":
                text += f"\n{plugin.distribution} {plugin.version} is left out and may provide it: {plugin.error}"
        return text


def load_plugins(
    entry_points: Iterable[tuple[EntryPoint, str, str]] | None = None,
    environ: Mapping[str, str] = os.environ,
    no_plugin: Iterable[str] = (),
) -> Plugins:
    """Import every plugin and collect its records; a plugin that fails is kept with the cause and costs nothing else.

    `entry_points` are (entry point, distribution, version); by default those of all installed distributions.
    `no_plugin` names distributions or entry points to leave out, as do the variables that `ft.extension.switches` reads
    from `environ`; one that is not installed raises FtError.
    """
    switches = read_switches(environ, no_plugin)
    found = sorted(entry_points if entry_points is not None else installed_plugins(), key=lambda e: (e[1], e[0].name))
    switches.check([(distribution, entry_point.name) for entry_point, distribution, _ in found])
    return Plugins(tuple(load_plugin(*each, switches) for each in found))


SLOW = 1.0
"""Seconds of import from which a plugin is told to slow down every command."""


def troubles(plugins: Plugins) -> Iterator[str]:
    """Yield what to warn of before plugins are used: each that is broken, slow, or may not work."""
    for plugin in plugins.all:
        if plugin.state == "broken":
            text = f"could not be loaded: {plugin.error}"
        elif plugin.seconds > SLOW:
            text = f"takes {plugin.seconds:.1f} s to import, whatever is asked of ft"
        elif plugin.warning:
            text = f"may not work: {plugin.warning}"
        else:
            continue
        yield (
            f"plugin {plugin.distribution} {plugin.version} ({plugin.module}) {text} (see ft plugins why {plugin.name})"
        )


def implementation(component: Component, callable_name: str) -> Any:
    """Import and return one callable of a component; what it raises carries a note that says whose it is.

    Raises FtError when the record points at nothing.
    """
    function = _resolve(getattr(component.record, callable_name), component, callable_name)
    what = f"{callable_name} of {component.kind.noun} '{component.name}'"
    return through_the_door(function, what, f"{component.distribution} {component.version}")


def read_settings(component: Component, values: Mapping[str, Any], where: str) -> Any:
    """Return the component's settings, checked. Raises FtError naming every unknown key and unfit value."""
    from ft.extension.settings import validate

    try:
        with noted(f"raised in the settings of {component.label}"):
            return validate(settings_class(component), values, where)
    except FtError as error:
        about = f"{component.label}; see ft describe {component.kind.name}:{component.name}"
        raise FtError(f"{error}\n({about})") from None


@dataclass(frozen=True, eq=False)
class Chosen(Generic[R]):
    """A component whose record is an R, and what it was told: its settings."""

    component: Component
    settings: Any

    @property
    def record(self) -> R:
        found: R = self.component.record
        return found

    def implementation(self, callable_name: str) -> Any:
        """One callable of the component, imported. Raises FtError when the record points at nothing."""
        return implementation(self.component, callable_name)


def settings_class(component: Component) -> Any:
    """Return the pydantic class of a component's settings; one without fields when it has none. Raises FtError."""
    from pydantic import BaseModel

    from ft.extension.settings import Settings

    pointer = component.record.settings
    found = Settings if pointer is None else _resolve(pointer, component, "settings")
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise FtError(
            f"{component.label} names {found!r} as its settings; it has to be a class derived from ft.Settings"
        )
    return found


def _resolve(pointer: Any, component: Component, what: str) -> Any:
    if not isinstance(pointer, str):
        return pointer
    module, _, attribute = pointer.partition(":")
    place = component.label
    try:
        target = import_module(module)
    except Exception as error:  # a stranger's code, as in _load
        if read_switches(os.environ).raise_errors:
            raise
        cause = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        cause = f"{' '.join(cause.split())}{raised_at(error)}"
        raise FtError(f"{place} cannot be used: importing {module} failed: {cause}") from error
    if not hasattr(target, attribute):
        near = nearest(attribute, vars(target), most=1)
        hint = f"; did you mean '{module}:{near[0]}'?" if near else ""
        raise FtError(f"{place} names '{pointer}' as its {what}, which does not exist{hint}")
    return getattr(target, attribute)
