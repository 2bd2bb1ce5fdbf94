"""`ft export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ft.cli.common import load_and_report
from ft.cli.completion import complete_format
from ft.cli.printing import tell_json
from ft.errors import FtError
from ft.machine.memory import garbage_waits


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    metavar="FORMAT",
    shell_complete=complete_format,
    help="onnx, torch-export, safetensors, openvino, litert, or another exporter",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="default: RUN/export-FORMAT"
)
@click.option(
    "--precision",
    default="fp32",
    show_default=True,
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="what the file computes in; int8 is calibrated on training images",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0),
    metavar="POINTS",
    help="by how much fp16 or int8 may be worse, else exit code 3; default: 1",
)
@click.option(
    "--images",
    type=click.Choice(["any", "network"]),
    help="of which size the file takes images; default: any, where the format can carry the resize",
)
@click.option(
    "--tta",
    metavar="VIEWS",
    help="compare it, and let check.py do so, over several views of each image, too: flip, or views:8",
)
@click.option(
    "--push",
    "place",
    metavar="hf:USER/NAME",
    help="put the folder on the Hugging Face Hub, privately if it is new",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="a setting of the format: format.opset=20")
@click.option("--trust-code", is_flag=True, help="import components that the run names by file or module")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def export(
    run: Path, format_: str | None, out: Path | None, sets: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Write the model of RUN in a form that other programs read, and prove that it answers as ft does.

    The file takes images as uint8 [N, H, W, 3] and does all the rest. It is asked about the run's validation images by
    the program that it is for; where it is not equal, nothing is written and the exit code is 3.
    """
    with garbage_waits():
        from ft.exporting.export import export as export_run
    from ft.cli.using import meant
    from ft.exporting.beside import GOLDEN
    from ft.exporting.chosen import Wanted
    from ft.exporting.push import push, repository_of
    from ft.exporting.records import NAME, ExportFile
    from ft.exporting.text import print_export
    from ft.machine.display import Display
    from ft.run.folder import Run
    from ft.run.records import read_record
    from ft.task.chosen import choose_task

    if given["max_drop"] is not None and given["precision"] == "fp32":
        raise FtError("--max-drop is for fp16 and int8; a file in fp32 has to be equal. Leave it out")
    repo = repository_of(given["place"]) if given["place"] else ""
    display, plugins = Display(), load_and_report()
    if format_ is None:
        names = ", ".join(sorted(each.name for each in plugins.components("exporter")))
        raise FtError(f"which format? Write --format NAME, as in --format onnx; there are: {names}")
    max_drop = 1.0 if given["max_drop"] is None else given["max_drop"]
    wanted = Wanted(format_, given["precision"], given["images"], max_drop, given["tta"], _settings(sets))
    folder = export_run(Run(meant(run, display)), wanted, out, plugins, display, given["trust_code"])
    about = read_record(folder / NAME, ExportFile)
    if as_json:
        tell_json({"folder": str(folder), **about.model_dump(mode="json")})
    else:
        print_export(folder, about, choose_task(about.model.task, plugins).figure(about.figure), display)
    if repo:
        display.say(f"putting the folder on the Hub, with {GOLDEN} of the run's images in golden.npz")
        display.say(f"it is at {push(folder, repo)}")


def _settings(sets: Sequence[str]) -> dict[str, Any]:
    """What `--set format.KEY=VALUE` says."""
    from ft.config.loading import read_set

    found: dict[str, Any] = {}
    for text in sets:
        asked = read_set(text)
        if asked.path[0] != "format" or len(asked.path) != 2:
            raise FtError(f"ft export takes settings of the format, as --set format.opset=20; leave out {text}")
        found[asked.path[1]] = asked.value
    return found
