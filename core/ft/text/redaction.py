"""Keeps what may be secret in addresses out of messages and of every file that ft writes."""

from __future__ import annotations

import re
from typing import Any

from ft.errors import FtError

_CUT = "?..."


def shown(text: str) -> str:
    """Return a text in which URLs have lost what may be secret: user, password, and the query of signed addresses.

    >>> shown("mirror:https://me:secret@host/net.pth?token=1 failed")
    'mirror:https://host/net.pth?... failed'
    """
    text = re.sub(r"(?<=://)[^/?#\s]*@", "", text)
    text = re.sub(r"\S+", _without_password, text) if "@" in text else text
    return _ADDRESS.sub(lambda match: f"{match[1]}{_CUT}" if match[2] else match[1], text)


_ADDRESS = re.compile(r"(://[^\s?#]*)(\?(?:[^\s,;)'\"]|[,;)'\"](?=\S))+)?")


def _without_password(text: re.Match[str]) -> str:
    """A password with a slash makes no URL. What ends with "@" is looked at alone, so that a long text is read once."""
    head, at, tail = text[0].rpartition("@")
    return re.sub(r"(?<=://)[^/?#\s:@]*:(?!\d+[/?#])\S*@", "", head + at) + tail


def without_secrets(tree: Any) -> Any:
    """Return a tree of mappings and lists, such as JSON holds, in which each text is as `shown`."""
    if isinstance(tree, dict):
        return {key: without_secrets(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [without_secrets(value) for value in tree]
    return shown(tree) if isinstance(tree, str) else tree


def what_is_left_out(reference: str) -> list[str]:
    """Say so when a reference will not be written as it was given: a note, or none."""
    if shown(reference) == reference:
        return []
    return [
        f"{shown(reference)}: user, password and query are not written to the run's folder; to repeat the run, or to "
        "resume it where they are needed again, give them anew, or keep user and password in ~/.netrc"
    ]


def check_whole(reference: str) -> None:
    """Raise FtError for a reference that was written without the query of its address."""
    if reference.endswith(_CUT):
        raise FtError(
            f"what follows '?' in {reference} was not written to the run's folder, since it may be secret; start "
            "another run with the whole address"
        )
