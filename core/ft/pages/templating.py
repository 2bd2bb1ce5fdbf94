"""The templates that pages are drawn with, where every text is escaped and what cannot be seen in it is spelt out."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ft.text.counting import written
from ft.text.terminal import visible

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def environment(package: str) -> Environment:
    """The templates in a package's folder `templates`, which are read and compiled once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # here, since listing commands needs no templates

    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = lambda form, value: written(value, form)
    return made


@cache
def template(package: str, name: str) -> str:
    """The text of one of those files."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """By what a content security policy allows this one script: its sha256, in base64."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _seen(value: Any) -> Any:
    """A text with whatever cannot be seen in it spelt out; what is markup of ours, as it is."""
    return visible(value) if type(value) is str else value
