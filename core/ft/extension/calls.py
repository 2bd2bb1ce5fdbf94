"""The one door into plugins' code: each call can be traced, and what it raises carries a note that says whose it is."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ft.errors import FtError
from ft.extension.switches import traced

_OWN = Path(__file__).parent


def through_the_door(function: Any, what: str, owner: str) -> Any:
    """Return `function`, whose exceptions carry a note: `what` it is ("select of freezing strategy 'mine'"), of which
    distribution (`owner`), and in which file and line it begins. What it returns to be iterated over is watched, too.

    An FtError passes as it is: it is a message for the user, not a fault in the plugin. With FT_TRACE_PLUGINS=1 each
    call is shown. What cannot be called is returned as it is.
    """
    if not callable(function):
        return function
    note = f"raised in {what}, of {owner}{_begins_at(function)}"

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with noted(note), traced(what):
            result = function(*args, **kwargs)
        return _watched(result, note) if isinstance(result, Iterator) else result

    return call


@contextmanager
def noted(note: str) -> Iterator[None]:
    """A block whose exceptions, but FtErrors, get `note` added."""
    try:
        yield
    except FtError:
        raise
    except Exception as error:
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


def raised_at(error: BaseException) -> str:
    """Where in a plugin's code an exception was raised, as in " (my_plugin.py:12)"; "" where that cannot be told."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and "importlib" not in Path(frame.filename).parts
        if _OWN not in Path(frame.filename).parents
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _watched(results: Iterator[Any], note: str) -> Iterator[Any]:
    with noted(note):
        yield from results


def _begins_at(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
