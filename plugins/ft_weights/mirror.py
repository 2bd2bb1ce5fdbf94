"""`mirror:BASE_URL`: another server that holds the published files, flat or under the publisher's paths."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from ft import FtError, Settings, WeightCache, WeightEntry


def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the entry's file from the cache or from the mirror: BASE_URL/<file name>, else BASE_URL/<path of its URL>.

    Raises FtError when the mirror has neither, or the base is no http(s) URL.
    """
    base = (argument or "").rstrip("/")
    if not _is_address(base):
        raise FtError(
            f"'{base}' is no mirror; write its address in full and without a query, as in "
            "mirror:https://mirror.example/models"
        )
    paths = [quote(entry.file_name), urlsplit(entry.url).path.strip("/")]
    return cache.download(entry, *dict.fromkeys(f"{base}/{path}" for path in paths if path))


def _is_address(base: str) -> bool:
    try:
        parts = urlsplit(base)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
    except ValueError:  # an open bracket, say
        return False
