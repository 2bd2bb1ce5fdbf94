"""`ft cache`: the features of frozen prefixes that are kept on disk."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import HelpingGroup
from ft.cli.printing import tell, tell_json
from ft.errors import FtError
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.cache.store import Entry, FeatureStore


@click.group(cls=HelpingGroup)
def cache() -> None:
    """List, check and remove the features that runs keep on disk."""


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_entries(as_json: bool) -> None:
    """List entries, those that were made alike in one line, the ones used longest ago first."""
    from ft.machine.layout import Columns, print_table, size

    store = _store()
    entries = store.entries()
    if as_json:
        tell_json([_row(entry) for entry in entries])
        return
    alike: dict[str, list[Entry]] = {}
    for entry in entries:
        alike.setdefault(entry.made_alike, []).append(entry)
    rows = [
        (
            some[0].key[:12],
            some[0].about.get("backbone", "?"),
            some[0].about.get("promise", "?"),
            sum(entry.rows for entry in some),
            len(some),
            size(sum(entry.size for entry in some)),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(some[-1].used)),
        )
        for some in sorted(alike.values(), key=lambda some: some[-1].used)
    ]
    if rows:
        headers = ("first entry", "backbone", "promise", "rows", "entries", "size", "last used")
        print_table(
            headers, rows, Columns(right=("rows", "entries", "size"), squeeze=("backbone",), spare=("rows", "entries"))
        )
    total = size(sum(entry.size for entry in entries))
    tell(f"{number_of(len(entries), 'entry', 'entries')}, {total} in {store.folder}")


@cache.command()
@click.option("--to", "limit_gb", type=click.FloatRange(0), metavar="GB", help="what may stay; default: nothing")
@click.option("--damaged", is_flag=True, help="remove only what ft cache verify finds")
def prune(limit_gb: float | None, damaged: bool) -> None:
    """Remove entries, decoded images and those used longest ago first, until at most --to GB are left."""
    from ft.machine.layout import size

    store = _store()
    if limit_gb is not None and not limit_gb <= 1e6:
        raise FtError("--to is a number of GB, as in --to 10")
    if damaged:
        if limit_gb is not None:
            raise FtError("--damaged and --to are two ways to choose what goes; give one of them")
        found = store.damaged()
        tell(f"removed {sum(map(store.remove, found))} of {len(found)} damaged")
        return
    limit = int((limit_gb or 0) * 1e9)
    known = {entry.key for entry in store.entries()}
    removed = store.prune(limit)
    tell(f"removed {number_of(len(removed), 'entry', 'entries')}, {size(sum(entry.size for entry in removed))}")
    left = [entry for entry in store.entries() if entry.key in known]
    if (stays := sum(entry.size for entry in left)) > limit:
        held = number_of(len(left), "entry stays", "entries stay")
        raise FtError(f"{held}, {size(stays)}: someone else's, or on a disk that is only read")


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def verify(as_json: bool) -> None:
    """Read every entry again and compare it with the digest taken when it was written."""
    store = _store()
    damaged = store.damaged()
    whole = [entry for entry in store.entries() if entry.path not in damaged]
    if as_json:
        tell_json({"whole": [_row(entry) for entry in whole], "damaged": damaged})
    else:
        for path in damaged:
            tell(f"damaged: {path}")
        tell(f"entries: {len(whole)} whole, {len(damaged)} damaged")
    if damaged:
        raise FtError("remove what is damaged with: ft cache prune --damaged")


def _store() -> FeatureStore:
    """The store. Raises FtError where it cannot be looked into, which runs take for empty."""
    from ft.cache.store import FeatureStore

    store = FeatureStore(0)
    try:
        os.listdir(store.folder)
    except FileNotFoundError:
        pass  # nothing was kept yet
    except OSError as error:
        raise FtError(f"cannot look into {store.folder}: {error.strerror}; set FT_CACHE to another folder") from error
    return store


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "path": str(entry.path),
        "size": entry.size,
        "rows": entry.rows,
        "used": entry.used,
        "about": dict(entry.about),
    }
