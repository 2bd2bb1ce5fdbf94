"""`ft lr-find`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ft.cli.common import load_and_report, no_plugin_option
from ft.cli.options import config_from, config_options, words_of
from ft.cli.printing import tell_json
from ft.machine.memory import garbage_waits


@click.command("lr-find")
@config_options
@no_plugin_option
@click.option("--json", "as_json", is_flag=True, help="print JSON: rates, losses, and what is suggested")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="write a page with the curve"
)
def lr_find(file: Path | None, sets: tuple[str, ...], as_json: bool, html: Path | None, **given: Any) -> None:
    """Find a learning rate: train for up to 100 steps while it rises, and see where the loss falls.

    \b
      ft lr-find --backbone torchvision:resnet18 --data ./photos
      ft lr-find --backbone torchvision:resnet18 --freeze all --optimizer sgd --data ./photos

    Flags are those of `ft run`. No run is made, and no weights are kept.
    """
    with garbage_waits():
        from ft.lr_finding import find_rates
    from ft.lr_shown import flags_of, plain_rates, rates_page, show_rates
    from ft.machine.display import Display
    from ft.machine.files import publish_text
    from ft.text.names import typed

    display, plugins = Display(), load_and_report()
    config = config_from(file, sets, given, plugins)
    found = find_rates(config, plugins.preferring(config.prefer), display)
    again = words_of(file, sets, given, without=("training.lr", "training.head_lr"))
    command = typed("ft", "run", *again, *flags_of(found.keywords)) if found.keywords else ""
    if html is not None:
        publish_text(html, rates_page(found, command))
        display.say(f"wrote {html}: open it in a browser")
    if as_json:
        tell_json(plain_rates(found, command))
    else:
        show_rates(found, command, display)
