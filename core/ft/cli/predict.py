"""`ft predict` and `ft evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from ft.cli.common import load_and_report
from ft.cli.completion import complete_data
from ft.cli.printing import tell_json
from ft.config import PREDICT_BATCH, PREDICT_PRECISION

F = TypeVar("F", bound=Callable[..., Any])


def using_a_run(command: F) -> F:
    """The flags of every command that uses a finished run."""
    for option in (
        click.option("--trust-code", is_flag=True, help="import components that the run names by file or module"),
        click.option("--workers", default="auto", metavar="N", help="loader processes; default: auto"),
        click.option("--batch-size", default=PREDICT_BATCH, show_default=True, type=click.IntRange(1)),
        click.option(
            "--precision", default=PREDICT_PRECISION, type=click.Choice(["auto", "fp32", "bf16"]), show_default=True
        ),
        click.option("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, mps"),
        click.option("--json", "as_json", is_flag=True, help="print JSON"),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--top", default=3, show_default=True, type=click.IntRange(1), help="classes to show for each image")
@using_a_run
def predict(run: Path, images: tuple[Path, ...], top: int, as_json: bool, **machine: Any) -> None:
    """Classify IMAGES (files or folders) with the model of RUN, preprocessed as in training."""
    from ft.cli.tables import print_predictions
    from ft.display import Display
    from ft.inference import image_paths, predict as classify

    display = Display()
    paths = image_paths(images)
    found = classify(_load(run, machine), paths, top, display)
    if as_json:
        tell_json([asdict(each) for each in found])
    else:
        print_predictions(found, display)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", shell_complete=complete_data)
@click.option("--split", default="all", show_default=True, type=click.Choice(["all", "train", "val", "test"]))
@using_a_run
def evaluate(run: Path, data: str, split: str, as_json: bool, **machine: Any) -> None:
    """Measure the model of RUN on DATA, a reference as for `ft run --data`; classes are matched by name."""
    from ft.cli.tables import print_evaluation
    from ft.display import Display
    from ft.inference import measure

    display = Display()
    plugins = load_and_report()
    evaluation, count = measure(_load(run, machine), data, split, plugins, display)
    if as_json:
        tell_json({"images": count, **asdict(evaluation)})
    else:
        print_evaluation(evaluation, f"{count} images of {data}", "what --json prints", display)


def _load(run: Path, machine: dict[str, Any]) -> Any:
    from ft.display import Display
    from ft.inference import load_trained
    from ft.ownership import strange_run
    from ft.runs import Run

    for warning in strange_run(run):
        Display().warn(warning)
    keys = {name: machine[name] for name in ("device", "precision", "workers")}
    return load_trained(Run(run), load_and_report(), keys, machine["batch_size"], machine["trust_code"])
