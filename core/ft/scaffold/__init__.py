"""Writes a new plugin: a complete distribution that installs, passes its tests and works, to be changed from there."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from string import Template

from ft._version import __version__
from ft.errors import FtError, did_you_mean
from ft.extension.installed import Plugins
from ft.extension.kinds import KINDS
from ft.extension.records import API_VERSION

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_plugin(kind: str, name: str, into: Path, installed: Plugins) -> Path:
    """Write the distribution ft-NAME, whose component of `kind` is called `name`, into a new folder in `into`.

    Returns the folder. Raises FtError for an unknown kind, a name that cannot be one or is taken, or a folder that is
    already there; nothing is written then.
    """
    if kind not in KINDS:
        raise FtError(f"'{kind}' is no kind of plugin.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}")
    if not _NAME.fullmatch(name):
        raise FtError(f"'{name}' cannot be a name; write small letters, digits and '-', as in my-strategy")
    if iskeyword(name):  # a module of that name could not be imported
        raise FtError(f"'{name}' is a word of Python's own; choose another name, as in my-{name}")
    package = f"ft_{name.replace('-', '_')}"
    folder = into / f"ft-{name}"
    if owners := [c for c in installed.components(kind) if c.name == name]:
        noun, owner = owners[0].kind.noun, owners[0].distribution
        raise FtError(f"there is a {noun} named '{name}' already, from {owner}; choose another name")
    if find_spec(package) is not None:
        raise FtError(f"a package {package} is installed already; choose another name")
    if folder.exists():
        raise FtError(f"{folder} is there already; choose another name or another folder: --into DIR")
    implementation = _implementation(kind)
    module = package.removeprefix("ft_")
    file = f"{module}{Path(implementation).suffix}"
    values = {
        "name": name,
        "package": package,
        "module": module,
        "file": file,
        "kind": kind,
        "noun": KINDS[kind].noun,
        "version": __version__,
        "api": str(API_VERSION),
    }
    content = {
        "pyproject.toml": _filled("common/pyproject.toml", values),
        "README.md": _filled("common/README.md", {**values, "use": _filled(f"{kind}/use.txt", values).strip()}),
        f"{package}/__init__.py": _filled(f"{kind}/record.py", values),
        f"{package}/{file}": _filled(f"{kind}/{implementation}", values),
        f"{package}/py.typed": "",
        f"tests/test_{module}.py": _filled(f"{kind}/tests.py", values),
    }
    for path, text in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def _implementation(kind: str) -> str:
    """The template of the file with the idea in it: a module, or of a kind that is files of packages such a file."""
    templates = (files("ft.scaffold") / "templates" / kind).iterdir()
    return next(each.name.removesuffix(".tmpl") for each in templates if each.name.startswith("implementation."))


def _filled(template: str, values: dict[str, str]) -> str:
    text = (files("ft.scaffold") / "templates" / f"{template}.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(values)
