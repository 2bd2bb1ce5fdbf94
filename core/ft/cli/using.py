"""What the commands have in common that use a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ft.cli.common import load_and_report
from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION
from ft.config.use import UseConfig
from ft.errors import FtError
from ft.extension.settings import validate
from ft.machine.memory import garbage_waits

if TYPE_CHECKING:
    from ft.exporting.used import Exported
    from ft.inference.load import Trained
    from ft.machine.display import Display

F = TypeVar("F", bound=Callable[..., Any])


def using_a_run(command: F) -> F:
    """The flags of every command that uses a finished run and prints what comes of it."""
    return click.option("--json", "as_json", is_flag=True, help="print JSON")(using_a_model(command))


def using_a_model(command: F) -> F:
    """The flags of every command that uses a finished run: where its model computes, and what it may import."""
    for option in (
        click.option("--trust-code", is_flag=True, help="import components that the run names by file or module"),
        click.option("--workers", default="auto", metavar="N", help="loader processes; default: auto"),
        click.option("--batch-size", default=PREDICT_BATCH, show_default=True, type=click.IntRange(1)),
        click.option(
            "--precision", default=PREDICT_PRECISION, type=click.Choice(["auto", "fp32", "bf16"]), show_default=True
        ),
        click.option("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, mps"),
    ):
        command = option(command)
    return command


WITHOUT_ANSWER = "what images without an answer are, once all others have one: an error (exit code 2), or a warning"
"""What --bad-images decides where images are asked about."""


def bad_images_option(about: str = WITHOUT_ANSWER) -> Callable[[F], F]:
    """What to do with images that cannot be read; `about` says it."""
    return click.option(
        "--bad-images", "bad", default="fail", show_default=True, type=click.Choice(["fail", "skip"]), help=about
    )


def tta_option(command: F) -> F:
    """In how many views a command asks about each image."""
    return click.option("--tta", metavar="VIEWS", help=str(UseConfig.model_fields["tta"].description))(command)


def load_folder(folder: Path, machine: dict[str, Any]) -> Trained | Exported:
    """The model of a run, or that of a folder of `ft export`, which its own program computes. Raises FtError for flags
    that say nothing to that."""
    from ft.exporting.used import is_exported, load_exported
    from ft.machine.display import Display

    if not is_exported(folder):
        return load_run(folder, machine)
    meant(folder, Display())
    for name, usual in (("device", "auto"), ("precision", PREDICT_PRECISION)):
        if machine[name] not in (usual, "cpu"):
            raise FtError(
                f"--{name} {machine[name]}: {folder} holds an exported model, which its own program computes on the "
                "CPU as it was exported; leave it out, or ask the run"
            )
    keys = {name: machine[name] for name in ("workers", "batch_size", "tta")}
    use = validate(UseConfig, keys, "")
    return load_exported(folder, load_and_report(), use, machine["trust_code"])


def load_run(run: Path, machine: dict[str, Any]) -> Trained:
    """The model of a run, on the machine that the flags of `using_a_run` ask for, and in the views of `tta_option`."""
    with garbage_waits():
        from ft.inference.load import load_trained
    from ft.machine.display import Display
    from ft.run.folder import Run

    run = meant(run, Display())
    keys: dict[str, Any] = {
        name: machine[name] for name in ("device", "precision", "workers", "tta") if name in machine
    }
    return load_trained(Run(run), load_and_report(), keys, machine["batch_size"], machine["trust_code"])


def meant(asked: Path, display: Display) -> Path:
    """The folder of the run that was asked for; what is to be said of it, is said."""
    from ft.config.run_folders import folder_meant
    from ft.machine.ownership import strange_run

    run = folder_meant(asked)
    if run != asked:
        display.say(f"{asked} is {run}")
    for warning in strange_run(run):
        display.warn(warning)
    return run
