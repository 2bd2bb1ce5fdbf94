"""`ft predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ft.cli.using import bad_images_option, load_run, tta_option, using_a_run
from ft.errors import FtError
from ft.machine.memory import garbage_waits
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.cli.answers import Form, Show
    from ft.inference.load import Trained
    from ft.inference.predict import Beside, Prediction
    from ft.inference.sorted_copies import SortedCopies
    from ft.machine.display import Display


@dataclass(frozen=True)
class Asked:
    """What the flags ask for: how answers are written, and what else is to be told and done."""

    top: int
    every: bool
    out: Path | None
    as_json: bool
    copy_to: Path | None
    unknown: bool
    rank: Literal["uncertain"] | None


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
    "--all", "every", is_flag=True, help="tell the probability of every class or label; a file has a column for each"
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="write the answers to a .csv, .jsonl or .parquet file",
)
@click.option(
    "--copy-to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="copy the images into folders in DIR, sorted by their answers; nothing there is written over",
)
@click.option(
    "--unknown", is_flag=True, help="tell how unlike the training images each image is; above 1 it is unknown"
)
@click.option(
    "--rank",
    type=click.Choice(["uncertain"]),
    help="uncertain: once all have an answer, those first that labelling would teach most",
)
@tta_option
@bad_images_option()
@using_a_run
def predict(run: Path, images: tuple[str, ...], bad: str, **given: Any) -> None:
    """Ask the model of RUN about IMAGES, preprocessed as in training.

    IMAGES are files, folders, patterns as 'photos/**/*.jpg', or - for paths on standard input, one a line.
    """
    with garbage_waits():
        from ft.inference.predict import predict as classify
    from ft.cli.answer_files import check_form
    from ft.cli.answers import end_with_bad
    from ft.inference.asked_images import image_paths
    from ft.machine.display import Display

    asked = Asked(**{name: given.pop(name) for name in Asked.__dataclass_fields__})
    if asked.out is not None and asked.as_json:
        raise FtError("--json prints, and --out writes to a file; give one of them (--out FILE.jsonl is JSON, too)")
    display = Display()
    paths = image_paths(images, lambda: sys.stdin.buffer.read())
    if asked.out is not None:
        check_form(asked.out)
    trained = load_run(run, given)
    form, beside, copies = _prepared(asked, trained, display)
    failed: list[Prediction] = []
    with ExitStack() as stack:
        show: Show = stack.enter_context(_written(asked, form, paths, trained, display))
        for some in _ordered(asked, classify(trained, paths, display, beside)):
            show(some)
            if copies is not None:
                copies.add(some)
            failed += [each for each in some if each.error]
    done = _done(asked, copies, len(paths) - len(failed))
    end_with_bad(failed, len(paths), bad, done, display)
    if done:
        display.say(done)


def _prepared(asked: Asked, trained: Trained, display: Display) -> tuple[Form, Beside, SortedCopies | None]:
    """The form of the answers, what is told beside them, and what sorts copies. Raises FtError for what the task does
    not say, before any image is looked at."""
    import torch

    from ft.cli.answers import Form
    from ft.inference.familiar_images import familiar_images
    from ft.inference.predict import Beside, like
    from ft.inference.sorted_copies import SortedCopies

    one, task = like(trained), trained.task
    if asked.every and one.every() is None:
        raise FtError(f"--all tells the probability of every name, and the answers of task '{task.name}' have none")
    if asked.copy_to is not None and one.folders() is None:
        raise FtError(
            f"--copy-to sorts images by the names they get, and the answers of task '{task.name}' are no names"
        )
    if asked.rank:
        task.uncertainty(torch.zeros(1, trained.space.outputs), trained.space)
    copies = None if asked.copy_to is None else SortedCopies.into(asked.copy_to, trained.space.names)
    familiar = familiar_images(trained, trained.image_list.parent, display) if asked.unknown else None
    beside = Beside(asked.rank is not None, familiar)
    return Form(asked.top, one, beside.like, asked.every), beside, copies


def _written(
    asked: Asked, form: Form, paths: Sequence[Path], trained: Trained, display: Display
) -> AbstractContextManager[Show]:
    """What writes the answers where they are wanted."""
    from ft.cli.answer_files import answer_file
    from ft.cli.answers import json_list, table

    if asked.out is not None:
        return answer_file(asked.out, form)
    return json_list(form, display) if asked.as_json else table(paths, trained.space.names, form, display)


def _ordered(asked: Asked, found: Iterable[list[Prediction]]) -> Iterable[list[Prediction]]:
    """The answers as they come; or, where they are ranked, all at once, images without an answer last."""
    from ft.inference.predict import UNCERTAINTY

    if asked.rank is None:
        return found
    every = [each for some in found for each in some]
    return [sorted(every, key=lambda each: -each.beside.get(UNCERTAINTY, -1.0))]


def _done(asked: Asked, copies: SortedCopies | None, answered: int) -> str:
    """What was written."""
    told = []
    if asked.out is not None:
        told.append(f"{number_of(answered, 'answer is', 'answers are')} in {asked.out}")
    if copies is not None:
        there = f", {copies.found} were there" if copies.found else ""
        told.append(f"{number_of(copies.made, 'copy', 'copies')} made in {asked.copy_to}{there}")
    return "; ".join(told)
