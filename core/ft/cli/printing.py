"""Lines of a command, without what a table or a bar needs. Everything printed here is as `told` makes it."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType
from typing import Any

import click

from ft.text.terminal import as_json, told, visible


def tell(*lines: str) -> None:
    """Lines of a result, on stdout."""
    for line in lines:
        click.echo(told(line), file=sys.stdout)


def tell_title(title: str, text: str = "") -> None:
    """A result's title, and what stands beside it."""
    click.echo(click.style(visible(title), bold=True) + told(text), file=sys.stdout)


def tell_prose(text: str) -> None:
    """Paragraphs and examples that keep their lines as they are, on stdout."""
    for line in text.split("\n"):
        click.echo(told(line), file=sys.stdout)


def tell_json(tree: Any) -> None:
    """A result as JSON, on stdout."""
    click.echo(as_json(tree, getattr(sys.stdout, "encoding", "utf-8")), file=sys.stdout)


def note(text: str) -> None:
    """A line beside the result, on stderr."""
    click.echo(told(text), file=sys.stderr)


def warn(text: str, word: str = "warning") -> None:
    """Something that the user may not have meant, on stderr."""
    click.secho(f"{word}: {told(text)}", fg="yellow", file=sys.stderr)


def tell_error(text: str) -> None:
    """What a command ends with that cannot do what it was asked, on stderr."""
    click.echo(click.style("error: ", fg="red", bold=True) + told(text), file=sys.stderr)


def tell_usage_error(error: click.ClickException) -> None:
    """A line that cannot be parsed: how it is written, then what is wrong with it."""
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(told(context.get_usage(), hanging=""), file=sys.stderr)
        click.echo(f"Try '{context.command_path} --help' for help.\n", file=sys.stderr)
    click.echo(click.style("error: ", fg="red", bold=True) + told(error.format_message()), file=sys.stderr)


def tell_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug's traceback, whose message and source lines may quote anything: `sys.excepthook` of the command line."""
    for line in traceback.format_exception(kind, error, trace):
        click.echo(told(line, hanging=""), file=sys.stderr)
