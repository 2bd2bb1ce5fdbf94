"""`ft predict` and `ft evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import load_and_report
from ft.cli.completion import complete_data
from ft.cli.printing import tell_json
from ft.cli.using import bad_images_option, load_run, using_a_run
from ft.errors import FtError
from ft.machine.memory import garbage_waits

if TYPE_CHECKING:
    from ft.cli.answers import Show


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(allow_dash=True), nargs=-1, required=True)
@click.option(
    "--top",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="of many classes, how many to show for each image",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="write the answers to a .csv or .jsonl file",
)
@bad_images_option
@using_a_run
def predict(
    run: Path, images: tuple[str, ...], top: int, out: Path | None, bad: str, as_json: bool, **machine: Any
) -> None:
    """Ask the model of RUN about IMAGES, preprocessed as in training.

    IMAGES are files, folders, patterns as 'photos/**/*.jpg', or - for paths on standard input, one a line.
    """
    with garbage_waits():
        from ft.inference.predict import like, predict as classify
    from ft.cli.answers import Form, answer_file, check_form, complaint, json_list, table
    from ft.inference.asked_images import image_paths
    from ft.machine.display import Display

    if out is not None and as_json:
        raise FtError("--json prints, and --out writes to a file; give one of them (--out FILE.jsonl is JSON, too)")
    display = Display()
    paths = image_paths(images, lambda: sys.stdin.buffer.read())
    failed = []
    with ExitStack() as stack:
        if out is not None:
            check_form(out)
        trained = load_run(run, machine)
        form = Form(top, like(trained))
        if out is not None:
            written = answer_file(out, form)
        else:
            names = trained.space.names
            written = json_list(form, display) if as_json else table(paths, names, form, display)
        show: Show = stack.enter_context(written)
        for some in classify(trained, paths, display):
            show(some)
            failed += [each for each in some if each.error]
    if failed:
        said = complaint(failed, len(paths))
        if bad == "fail":
            there = f"{_answers_in(out, len(paths) - len(failed))}. " if out is not None else ""
            raise FtError(f"{said}\n{there}Mend them, or take this for a warning with --bad-images skip")
        display.warn(said)
    if out is not None:
        display.say(_answers_in(out, len(paths) - len(failed)))


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", shell_complete=complete_data)
@click.option("--split", default="all", show_default=True, type=click.Choice(["all", "train", "val", "test"]))
@click.option(
    "--bad-images",
    "bad",
    default="fail",
    show_default=True,
    type=click.Choice(["fail", "skip"]),
    help="what to do when images cannot be read: end with all of them listed, or measure the others",
)
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="a setting of DATA, as in data.columns=[a,b]; repeatable"
)
@using_a_run
def evaluate(run: Path, data: str, split: str, bad: Any, sets: tuple[str, ...], as_json: bool, **machine: Any) -> None:
    """Measure the model of RUN on DATA, a reference as for `ft run --data`; labels are matched by name."""
    with garbage_waits():
        from ft.inference.measure import measure
    from ft.machine.display import Display
    from ft.run.report_text import print_evaluation

    display = Display()
    plugins = load_and_report()
    evaluation, count = measure(load_run(run, machine), _with_settings(data, sets), split, plugins, display, bad)
    if as_json:
        tell_json({"images": count, **evaluation.plain()})
    else:
        print_evaluation(evaluation, f"{count} images of {data}", "what --json prints", display)


def _with_settings(data: str, sets: Sequence[str]) -> Mapping[str, Any]:
    """Data as a config says them, with the settings that `sets` give it."""
    from ft.config.loading import load_config

    if others := [text for text in sets if not text.startswith("data.")]:
        raise FtError(f"ft evaluate takes settings of data alone, as --set data.columns=[a,b]; leave out {others[0]}")
    read = load_config(None, sets, {"backbone": "any", "data": data}).data
    return {"use": read.use, **read.settings}


def _answers_in(out: Path, count: int) -> str:
    return f"{count} {'answer is' if count == 1 else 'answers are'} in {out}"
