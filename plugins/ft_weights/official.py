"""`official`: the URL that the entry names."""

from __future__ import annotations

from pathlib import Path

from ft import FtError, Settings, WeightCache, WeightEntry


def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the entry's file from the cache or from `entry.url`. Raises FtError when there is no such URL."""
    if argument is not None:
        raise FtError(f"official takes no argument; for another server write mirror:{argument or 'BASE_URL'}")
    if not entry.url:
        raise FtError(f"no URL is published for {entry.name}; name another source, such as local:PATH")
    return cache.download(entry, entry.url)
