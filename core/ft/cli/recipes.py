"""`ft recipes`: which there are, what one says, and a copy of it to be edited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ft.cli.common import HelpingGroup, load_and_report, no_plugin_option
from ft.cli.completion import COMPLETE
from ft.cli.printing import tell, tell_json, tell_prose
from ft.errors import FtError
from ft.text.names import typed

if TYPE_CHECKING:
    from ft.config.recipes import Recipe


@click.group(cls=HelpingGroup)
@no_plugin_option
def recipes() -> None:
    """Ways to train, for `ft run --recipe NAME`.

    \b
      ft recipes list
      ft recipes show lp-ft
      ft recipes copy lp-ft mine.yaml
      ft run --recipe ./mine.yaml --backbone torchvision:resnet18 --data ./photos
    """


@recipes.command("list")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_recipes(as_json: bool) -> None:
    """List recipes: name, what each does, whose it is."""
    from ft.machine.layout import Columns, print_table

    found = load_and_report().components("recipe")
    if as_json:
        keys = ("name", "summary", "distribution", "version")
        tell_json([dict(zip(keys, (c.name, c.record.summary, c.distribution, c.version), strict=True)) for c in found])
        return
    rows = [(c.name, c.record.summary, f"{c.distribution} {c.version}") for c in found]
    print_table(("recipe", "what it does", "from"), rows, Columns(prose="what it does"))
    tell("ft recipes show NAME prints one: where it comes from, what it costs, when to use it")


@recipes.command()
@click.argument("name", shell_complete=COMPLETE["--recipe"])
@click.option("--json", "as_json", is_flag=True, help="print JSON: what it says, its text, and whose it is")
def show(name: str, as_json: bool) -> None:
    """Print what a recipe says, with its comments."""
    recipe = _read(name)
    if as_json:
        whose = {"distribution": recipe.distribution, "version": recipe.version, "sha256": recipe.sha256}
        tell_json({"recipe": name, **whose, "says": recipe.tree, "text": recipe.text})
    else:
        tell_prose(recipe.text.rstrip("\n"))


@recipes.command()
@click.argument("name", shell_complete=COMPLETE["--recipe"])
@click.argument("file", type=click.Path(path_type=Path))
def copy(name: str, file: Path) -> None:
    """Write a recipe to a new FILE, with its comments, to be edited."""
    from ft.extension.packaged import FILES
    from ft.machine.files import explained, publish_text

    if file.suffix not in FILES:
        raise FtError(f"a recipe's file ends in {FILES[0]}, by which it is told from a name: write {file}{FILES[0]}")
    if file.exists():
        raise FtError(f"{file} is there already, and may have been edited; write another name, or remove it")
    with explained(file):
        publish_text(file, _read(name).text)
    use = typed("ft", "run", "--recipe", file, "--backbone", "torchvision:resnet18", "--data", "./photos")
    tell(f"{file} holds the recipe, to be edited; use it with: {use}")


def _read(name: str) -> Recipe:
    from ft.config.recipes import read_recipe

    return read_recipe(name, load_and_report())
