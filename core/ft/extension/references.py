"""References: `name:argument`, `package.module:attribute[:argument]`, `./file.py:attribute[:argument]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ft.errors import FtError

_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]*/)?[A-Za-z0-9][A-Za-z0-9_-]*")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_FILE = re.compile(r"((?:[A-Za-z]:(?=[\\/]))?[^:]*\.py):(.*)", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """What a reference says: which component, and the opaque argument for it (None when there is no colon).

    `place` is "plugin" for an installed component (`name` may be `distribution/name`), "module" or "file" for one
    named where it lies (`name` is then the module or the path, `attribute` what it holds there).
    """

    name: str
    argument: str | None = None
    place: Literal["plugin", "module", "file"] = "plugin"
    attribute: str = ""

    def __str__(self) -> str:
        parts = [self.name, *([self.attribute] if self.attribute else [])]
        return ":".join(parts if self.argument is None else [*parts, self.argument])


def parse_reference(text: str) -> Reference:
    """Split a reference at its first colon. Raises FtError when it cannot name anything."""
    if match := _FILE.fullmatch(text):
        return _where_it_lies(text, match[1], match[2], "file")
    name, colon, rest = text.partition(":")
    if colon and _MODULE.fullmatch(name):
        return _where_it_lies(text, name, rest, "module")
    if name.endswith(".py"):
        raise FtError(f"'{text}' names no attribute; write {text}:Name, where Name is defined in {text}")
    if not _NAME.fullmatch(name):
        raise FtError(f"'{text}' is not a reference; write name or name:argument, as in 'regex:features.*'")
    return Reference(name, rest if colon else None)


def _where_it_lies(text: str, name: str, rest: str, place: Literal["module", "file"]) -> Reference:
    attribute, colon, argument = rest.partition(":")
    if not attribute.isidentifier():
        raise FtError(f"'{text}' names no attribute; write {name}:Name, where Name is defined in {name}")
    return Reference(name, argument if colon else None, place, attribute)
