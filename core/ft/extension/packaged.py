"""Components that are files of packages, as recipes are: their text, and what the comment at its beginning says."""

from __future__ import annotations

import inspect
from importlib.resources import files
from itertools import takewhile

from ft.errors import FtError
from ft.extension.calls import raised_at
from ft.extension.installed import Component, implementation

FILES = (".yaml", ".yml", ".json")
"""How the name of a file of one's own ends, in the place of a component of such a kind."""
_LARGEST = 100_000
"""Characters of a file that somebody is to read."""


def packaged_text(component: Component) -> str:
    """The text of the file that a component's record names, as "package:folder/name.yaml".

    Raises FtError where the package cannot be imported, or holds no such file of text.
    """
    package, _, name = component.record.file.partition(":")
    try:
        text: str = (files(package) / name).read_text(encoding="utf-8")
    except Exception as error:  # importing a package runs a stranger's code
        cause = f"{type(error).__name__}: {error}{raised_at(error)}"
        raise FtError(f"{component.label} cannot be used: reading {component.record.file} failed: {cause}") from error
    if len(text) > _LARGEST:
        raise FtError(
            f"{component.label} cannot be used: {component.record.file} has more than {_LARGEST:,} characters"
        )
    return text


def beginning(text: str) -> str:
    """The comment that a file begins with, without its marks.

    >>> beginning("# What it is.\\n#\\n#     ft run\\nepochs: 3\\n")
    'What it is.\\n\\n    ft run'
    """
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines).strip()


def documentation(component: Component) -> str:
    """What a component says of itself at length: the docstring of what does the work, or how its file begins."""
    callables = component.kind.callables
    if not callables:
        return beginning(packaged_text(component))
    return inspect.getdoc(implementation(component, callables[-1])) or ""
