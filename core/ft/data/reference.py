"""What `--data` names: a data source, or a folder or a table, which a source of that kind reads."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ft.errors import FtError, did_you_mean
from ft.extension.installed import Plugins
from ft.extension.references import Reference, parse_reference

TABLES = (".csv", ".tsv")
"""What files are called that name images and their classes."""


def data_reference(text: str, plugins: Plugins) -> Reference:
    """Read `text` as a reference: an installed source's as it is, a folder as folder:PATH, a table as csv:PATH.

    An installed source goes before a path of the same name (which `./name` still reaches). Raises FtError for a name
    that is neither.
    """
    name, colon, _ = text.partition(":")
    if plugins.has("data", name):
        return parse_reference(text)
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):  # unlike Path's, it takes any text, and raises for no folder that may not be looked into
        return Reference("folder", text)
    if os.path.isfile(path) and path.suffix.lower() in TABLES:
        return Reference("csv", text)
    if os.path.isfile(path):
        raise FtError(f"{text} is neither a folder of images nor a table ({', '.join(TABLES)})")
    if colon:
        return parse_reference(text)
    if os.path.islink(path):
        raise FtError(f"{text} is a link that leads nowhere (to {os.readlink(path)})")
    beside: list[str] = []
    with suppress(OSError, ValueError):
        beside = os.listdir(path.parent)
    nowhere = f"there is no folder or file {path.absolute()}.{did_you_mean(path.name, beside)}"
    if path.name != text:
        raise FtError(nowhere)
    reference = Reference(text)
    try:
        plugins.get("data", reference)  # it knows what is installed, and what could not be loaded
    except FtError as error:
        raise FtError(f"{error}\nTaken as a path: {nowhere}") from None
    return reference
