"""`ft evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import load_and_report
from ft.cli.completion import complete_data
from ft.cli.printing import tell_json
from ft.cli.using import bad_images_option, load_folder, tta_option, using_a_run
from ft.errors import FtError
from ft.machine.memory import garbage_waits

if TYPE_CHECKING:
    from ft.exporting.used import Exported
    from ft.inference.load import Trained
    from ft.inference.measure import Measurable


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", shell_complete=complete_data)
@click.option("--split", default="all", show_default=True, type=click.Choice(["all", "train", "val", "test"]))
@tta_option
@bad_images_option("what to do when images cannot be read: end with all of them listed, or measure the others")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="a setting of DATA, as in data.columns=[a,b]; repeatable"
)
@using_a_run
def evaluate(run: Path, data: str, split: str, bad: Any, sets: tuple[str, ...], as_json: bool, **machine: Any) -> None:
    """Measure the model of RUN, or of a folder of `ft export`, on DATA, a reference as for `ft run --data`; labels are
    matched by name."""
    with garbage_waits():
        from ft.inference.measure import measure
    from ft.machine.display import Display
    from ft.run.report_text import print_evaluation

    display = Display()
    plugins = load_and_report()
    model = _measurable(load_folder(run, machine))
    evaluation, count = measure(model, _with_settings(data, sets), split, plugins, display, bad)
    tta = machine["tta"]
    if as_json:
        tell_json({"images": count, **({"tta": tta} if tta else {}), **evaluation.plain()})
    else:
        how = f", --tta {tta}" if tta else ""
        print_evaluation(evaluation, f"{count} images of {data}{how}", "what --json prints", display)


def _measurable(found: Trained | Exported) -> Measurable:
    """A model as it is measured; for one that another program computes, torch is not loaded."""
    from ft.exporting.used import Exported

    if isinstance(found, Exported):
        from ft.exporting.measured import as_measurable

        return as_measurable(found)
    from ft.inference.measure_run import measurable

    return measurable(found)


def _with_settings(data: str, sets: Sequence[str]) -> Mapping[str, Any]:
    """Data as a config says them, with the settings that `sets` give it."""
    from ft.config.loading import load_config

    if others := [text for text in sets if not text.startswith("data.")]:
        raise FtError(f"ft evaluate takes settings of data alone, as --set data.columns=[a,b]; leave out {others[0]}")
    read = load_config(None, sets, {"backbone": "any", "data": data}).data
    return {"use": read.use, **read.settings}
