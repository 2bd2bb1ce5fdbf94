"""Finds plugins through the entry-point group `ft.plugins`, imports them, and collects and checks their records.

This is our own loader, because pluggy's keeps only the first of two entry points with one name and does not say which
distribution a record came from. pluggy still checks the hooks: their names, their arguments.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint, entry_points as installed_entry_points
from typing import Any, Literal

import pluggy

from ft._version import __version__
from ft.errors import did_you_mean
from ft.extension import hookspecs
from ft.extension.calls import raised_at
from ft.extension.extensions import Extension
from ft.extension.kinds import KINDS, Kind
from ft.extension.records import API_VERSION
from ft.extension.switches import OWN, Switches, traced

GROUP = "ft.plugins"
_ALIKE = re.compile(r"ft(kit)?[\W_]*plugins?")
_OWN_REQUIREMENT = re.compile(rf"{OWN}(?![\w.-])", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_POINTER = re.compile(r"\w+(?:\.\w+)*:\w+")
_FILE = re.compile(r"\w+(?:\.\w+)*:(?:[\w-][\w.-]*/)*[\w-][\w.-]*")


@dataclass(frozen=True)
class Plugin:
    """One entry point: where it comes from, whether it can be used, and why not. `seconds`: what importing it took.

    `warning` says what may be wrong with one that can be used.
    """

    name: str
    module: str
    distribution: str
    version: str
    state: Literal["ok", "broken", "disabled"]
    error: str = ""
    components: tuple[Component, ...] = ()
    seconds: float = 0.0
    warning: str = ""


@dataclass(frozen=True)
class Component:
    """A record together with the kind it is of and the distribution that provides it."""

    kind: Kind
    record: Any
    distribution: str
    version: str

    @property
    def name(self) -> str:
        return str(self.record.name)

    @property
    def label(self) -> str:
        """What messages call it: what it is, its name, and whose."""
        return f"{self.kind.noun} '{self.name}' of {self.distribution} {self.version}"


def installed_plugins() -> Iterator[tuple[EntryPoint, str, str]]:
    """The entry points of all installed distributions, each with its distribution's name and version.

    Those of a group that was meant to be `ft.plugins` are among them, so that nobody looks for them in vain.
    """
    installed = installed_entry_points()
    for group in filter(_is_near, installed.groups):
        for entry_point in installed.select(group=group):
            name, version, _ = _about(entry_point.dist)
            whole = name and version  # the remains of an interrupted uninstall have none
            if whole and (group == GROUP or _ALIKE.fullmatch(group.lower()) or _needs_ft(entry_point)):
                yield entry_point, name, version


def load_plugin(entry_point: EntryPoint, distribution: str, version: str, switches: Switches) -> Plugin:
    """Import one plugin and collect its records, unless it is switched off; one that fails is told as broken."""
    plugin = Plugin(entry_point.name, entry_point.value, distribution, version, "ok")
    if reason := switches.reason(distribution, entry_point.name):
        return replace(plugin, state="disabled", error=reason)
    if entry_point.group != GROUP:
        why = f"its entry-point group is '{entry_point.group}', and ft reads '{GROUP}': rename it and install again"
        return replace(plugin, state="broken", error=why)
    unmet = _unmet_requirement(entry_point)
    began = time.perf_counter()
    # A plugin is a stranger's code: whatever it raises is its own failure, kept and shown, never ft's.
    try:
        with traced(f"import {entry_point.value} of {distribution} {version}"):
            module = entry_point.load()
        _check_api(getattr(module, "FT_API", API_VERSION), distribution)
        components = tuple(_collect(module, distribution, version))
        return replace(plugin, components=components, seconds=time.perf_counter() - began, warning=unmet)
    except (Exception, SystemExit) as error:
        if switches.raise_errors:
            raise
        newer = f"; it may need a newer ft than {__version__}" if getattr(error, "name", None) == "ft" else ""
        cause = " ".join(f"{type(error).__name__}: {error}".split()) + raised_at(error) + newer
        cause += f"; {unmet}" if unmet else ""
        return replace(plugin, state="broken", error=cause, seconds=time.perf_counter() - began)


def _is_near(group: str) -> bool:
    """Whether a group is `ft.plugins`, or may be that misspelt, as ft-plugins, ftkit.plugin and ft.plugns are."""
    name = group.lower()
    alike = name.partition(".")[0] in ("ft", OWN) or difflib.SequenceMatcher(None, name, GROUP).ratio() > 0.92
    return alike or bool(_ALIKE.fullmatch(name))


def _needs_ft(entry_point: EntryPoint) -> bool:
    return any(_OWN_REQUIREMENT.match(each) for each in _about(entry_point.dist)[2])


@functools.lru_cache(16)  # parsing it is the dear part, and one distribution has many entry points
def _about(distribution: Distribution | None) -> tuple[str, str, Sequence[str]]:
    """Name, version and requirements; "" and nothing where they are not said."""
    if distribution is None:
        return "", "", ()
    about: Any = distribution.metadata
    name, version = (about.get(key, "") for key in ("Name", "Version"))
    return name, version, tuple(distribution.requires or ())


def _unmet_requirement(entry_point: EntryPoint) -> str:
    """What a plugin's distribution requires of ft that this ft is not; "" when it is."""
    for text in filter(_OWN_REQUIREMENT.match, _about(entry_point.dist)[2]):
        from packaging.requirements import InvalidRequirement, Requirement  # few plugins need it

        with contextlib.suppress(InvalidRequirement):
            requirement = Requirement(text)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and not requirement.specifier.contains(__version__, prereleases=True):
                wanted = f"{OWN}{requirement.specifier}"
                return f"it requires {wanted}, and this is {OWN} {__version__}: pip install --upgrade '{wanted}'"
    return ""


def _check_api(wanted: Any, distribution: str) -> None:
    if not isinstance(wanted, int):
        raise TypeError(f"FT_API is {wanted!r}; it is a whole number, as in FT_API = {API_VERSION}")
    if wanted > API_VERSION:
        raise RuntimeError(
            f"it is made for version {wanted} of ft's plugin API and ft {__version__} has {API_VERSION}; "
            "upgrade ft: pip install --upgrade ftkit"
        )
    if wanted < API_VERSION - 1:
        raise RuntimeError(
            f"it is made for version {wanted} of ft's plugin API and ft {__version__} takes {API_VERSION - 1} and "
            f"{API_VERSION}; upgrade it: pip install --upgrade {distribution}"
        )


def _collect(module: Any, distribution: str, version: str) -> Iterator[Component]:
    hooks = {kind.hook: kind for kind in KINDS.values()}
    manager = pluggy.PluginManager("ft")
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    collected: set[tuple[str, str]] = set()
    for caller in manager.get_hookcallers(module) or ():
        if caller.name not in hooks:
            raise TypeError(f"there is no hook {caller.name}.{did_you_mean(caller.name, hooks)}")
        kind = hooks[caller.name]
        for hook in caller.get_hookimpls():
            _check_signature(hook.function, kind)
            # Called without pluggy, which would drop a None that was meant to be records.
            with traced(f"{kind.hook} of {distribution} {version}"):
                records = list(_records(hook.function(), kind))
            for record in records:
                if (kind.name, record.name) in collected:
                    raise TypeError(f"{kind.hook} yields two {kind.noun} records named '{record.name}'")
                collected.add((kind.name, record.name))
                yield Component(kind, record, distribution, version)
    if not collected:
        raise TypeError(f"it provides nothing; mark at least one of these functions with @hookimpl: {', '.join(hooks)}")


def _check_signature(function: Any, kind: Kind) -> None:
    if names := list(
        inspect.signature(function).parameters
    ):  # pluggy allows those with a default, and never gives them
        raise TypeError(f"{kind.hook} takes no arguments; remove {', '.join(map(repr, names))} from its definition")


def _records(records: Any, kind: Kind) -> Iterator[Extension]:
    if not isinstance(records, Iterable) or isinstance(records, str):
        raise TypeError(f"{kind.hook} returned {records!r}; it yields {kind.record.__name__} records")
    for record in records:
        if not isinstance(record, kind.record):
            raise TypeError(f"{kind.hook} yielded {record!r}; it yields {kind.record.__name__} records")
        check_record(record, kind)
        yield record


def check_record(record: Any, kind: Kind) -> None:
    """Raise TypeError when a record could not be used: its name, its summary, its callables, or its file."""
    if not isinstance(record.name, str) or not _NAME.fullmatch(record.name):
        raise TypeError(f"{kind.noun} name {record.name!r} is not made of letters, digits, '-' and '_'")
    if not isinstance(record.summary, str) or len(record.summary.splitlines()) != 1:
        raise TypeError(f"{kind.noun} '{record.name}' needs a summary of one line")
    for name in kind.callables:
        pointer = getattr(record, name)
        if not callable(pointer) and not (isinstance(pointer, str) and _POINTER.fullmatch(pointer)):
            raise TypeError(
                f"{kind.noun} '{record.name}': {name} is {pointer!r}; give a callable or 'package.module:name'"
            )
    if not kind.callables and not (isinstance(record.file, str) and _FILE.fullmatch(record.file)):
        raise TypeError(f"{kind.noun} '{record.name}': file is {record.file!r}; give 'package:name.yaml'")
