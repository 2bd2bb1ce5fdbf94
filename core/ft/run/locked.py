"""Which components a run uses, what they are made of, and whether they are those of an earlier run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Component, Plugins
from ft.extension.references import parse_reference
from ft.plan.components import components_of
from ft.run.records import ComponentUsed, VersionsFile

_LATER = ("augmentation", "optimizer")
"""Kinds that every run uses, and of which the record of a run from before there was the kind holds none."""


def describe_component(component: Component) -> dict[str, str]:
    """Kind, name, distribution, version, and the SHA-256 of the code, for versions.json."""
    return {
        "kind": component.kind.name,
        "name": component.name,
        "distribution": component.distribution,
        "version": component.version,
        "sha256": code_digest(component),
    }


def code_digest(component: Component) -> str:
    """SHA-256 over names and contents of the Python files in the folder that holds the implementation.

    A module that lies in no package counts alone; "" when there is no file, as for code typed at a prompt.
    """
    pointer = getattr(component.record, component.kind.callables[-1])
    module = pointer.partition(":")[0] if isinstance(pointer, str) else getattr(pointer, "__module__", "")
    origin = getattr(import_module(module), "__file__", None) if module else None
    if origin is None:
        return ""
    path = Path(origin)
    packaged = "." in module or path.name == "__init__.py"
    made = hashlib.sha256()
    for file in sorted(path.parent.rglob("*.py")) if packaged else [path]:
        made.update(file.relative_to(path.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return made.hexdigest()


def check_locked(config: Config, plugins: Plugins, versions: VersionsFile, where: str) -> None:
    """Raise FtError unless each component is the one that versions.json of an earlier run records; `where` names it."""
    locked = {(c.kind, c.name): c for c in versions.components}
    used = [component for _, component in components_of(config, plugins)]
    for (kind, name), each in locked.items():
        if kind == "weights" and plugins.has(kind, f"{each.distribution}/{name}"):
            used.append(plugins.get(kind, parse_reference(f"{each.distribution}/{name}")))
    told = {each.kind for each in versions.components}
    lines = dict.fromkeys(
        line
        for component in used
        if component.kind.name in told or component.kind.name not in _LATER
        for line in _differences(component, locked)
    )
    if lines:
        listed = "\n".join(f"  {line}" for line in lines)
        raise FtError(
            f"--locked {where}: not the components of that run:\n{listed}\n"
            "Install what it used, or leave out --locked to run with what there is"
        )


def _differences(component: Component, locked: Mapping[tuple[str, str], ComponentUsed]) -> Iterator[str]:
    now = describe_component(component)
    label = f"{component.kind.noun} '{component.name}'"
    then = locked.get((now["kind"], now["name"]))
    if then is None:
        yield f"{label} was not used"
    elif (now["distribution"], now["version"]) != (then.distribution, then.version):
        yield (f"{label} was of {then.distribution} {then.version}, and is of {now['distribution']} {now['version']}")
    elif now["sha256"] != then.sha256:
        yield f"{label} of {now['distribution']} {now['version']} has other code than it had"
