"""What may reach a terminal: text from outside is text there, never markup, and never an order to the terminal.

File and class names, config keys, a stranger's model.json and other libraries' messages pass through `visible` (a name,
a cell of a table) or `told` (a message) before they are printed; tests/test_architecture.py holds every module to it.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
import unicodedata
from typing import Any

from ft.text.redaction import shown

MOST = 4000
"""Characters of one text. No message of ft's own is so long; what somebody hands over may be."""

_UNSEEN = (
    r"\x00-\x1f\x7f-\x9f"  # control characters, which begin escape sequences
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # those that turn the direction of what follows
    r"\xad\u115f\u1160\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"  # those that show nothing
    r"\u2028\u2029"  # line ends
    r"\ud800-\udfff"  # bytes of a name that is not UTF-8
    r"\ufffe\uffff\U000e0000-\U000e0fff\U000f0000-\U0010ffff"  # tags, private planes, no characters at all
)
_INVISIBLE = re.compile(f"[{_UNSEEN}]")
_PLAINER = {"→": "->", "≤": "<=", "≥": ">=", "…": "...", "×": "x", "·": "-", "─": "-", "—": "-", "’": "'"}
"""What ft itself prints beside ASCII, for terminals that have no more than that."""


def visible(text: str) -> str:
    r"""Return a name as one line that shows what is in it, without what may be secret in an address.

    >>> print(visible("cat\x1b[2J\n\u202edog"))
    cat\x1b[2J\n\u202edog

    What is drawn upon the character before it, as an accent or the colour of a skin, does not begin a name.
    """
    text = _INVISIBLE.sub(_escaped, shown(text))
    return shortened(_escape(text[0]) + text[1:] if text and _is_drawn_upon(text[0]) else text)


def told(text: str, hanging: str = "  ") -> str:
    r"""Return a message as `visible` does, its line ends kept; every line but the first begins with `hanging`, so that
    nothing within a message can look like another.

    >>> print(told("no class 'a\nerror: b'\x07"))
    no class 'a
      error: b'\x07
    """
    text = shown(text).replace("\r\n", "\n").expandtabs(4)
    lines = [_INVISIBLE.sub(_escaped, line) for line in text.rstrip("\n").split("\n")]
    return shortened(f"\n{hanging}".join(lines))


def shortened(text: str, most: int = MOST) -> str:
    """Return a text of about `most` characters at most: what is left out of its middle is counted there.

    >>> shortened("a" * 1000, 20)
    'aaaaaaaaaa[... 980 characters ...]aaaaaaaaaa'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}[... {len(text) - 2 * half:,} characters ...]{text[-half:]}"


def as_json(tree: Any, encoding: str | None = "utf-8", indent: int | None = 2) -> str:
    r"""Return JSON for a terminal of this encoding: strict (a number that is none is null), and with nothing invisible;
    on one line where nothing is to be indented.

    >>> print(as_json({"loss": float("nan"), "name": "\x9b\udc80é"}, "ascii"))
    {
      "loss": null,
      "name": "\u009b\udc80\u00e9"
    }
    """
    plain = not (encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(_finite(tree), indent=indent, ensure_ascii=plain, allow_nan=False, default=str)
    return re.sub(f"(?!\n)[{_UNSEEN}]", lambda match: json.dumps(match[0])[1:-1], text)


def plainer(text: str) -> str:
    r"""Return a text in ASCII: an arrow is `->`, what has nothing like it is written as its escape.

    >>> print(plainer("4096 → 4, café"))
    4096 -> 4, caf\xe9
    """
    return "".join(_PLAINER.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text)


def complain(text: str) -> None:
    """Write a line to stderr, where nothing better is loaded."""
    print(told(text), file=sys.stderr)


def prepare_streams() -> None:
    """Let stdout and stderr print something for every character, also where they know ASCII only."""
    codecs.register_error("ft.plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="ft.plainer")


def _escaped(match: re.Match[str]) -> str:
    return _escape(match[0])


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode()


def _is_drawn_upon(character: str) -> bool:
    """Whether a character takes no place of its own: accents and joiners, skin colours, later parts of a syllable."""
    parts = ("\U0001f3fb", "\U0001f3ff"), ("\u1160", "\u11ff"), ("\ud7b0", "\ud7ff")
    return unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf", "Cn") or any(
        first <= character <= last for first, last in parts
    )


def _plainer(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return plainer(error.object[error.start : error.end]), error.end


def _finite(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
