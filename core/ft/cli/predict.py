"""`ft predict`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ft.cli.using import bad_images_option, load_folder, tta_option, using_a_run
from ft.errors import FtError
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.cli.answers import Form, Show
    from ft.exporting.used import Exported
    from ft.extension.tasks import Answer, LabelSpace
    from ft.inference.load import Trained
    from ft.inference.prediction import Prediction
    from ft.inference.sorted_copies import SortedCopies
    from ft.machine.display import Display
    from ft.task.chosen import ChosenTask


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


@dataclass(frozen=True, eq=False)
class Model:
    """Who is asked: a run's model or an exported one; `like` an answer might be, what is told `beside` it, and `ask`,
    which yields the answers for paths, batch by batch."""

    task: ChosenTask
    space: LabelSpace
    like: Answer
    beside: Mapping[str, float | bool]
    ask: Callable[[Sequence[Path], Display], Iterator[list[Prediction]]]


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
    """Ask the model of RUN, or of a folder of `ft export`, about IMAGES, preprocessed as in training.

    IMAGES are files, folders, patterns as 'photos/**/*.jpg', or - for paths on standard input, one a line.
    """
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
    model = _model(load_folder(run, given), asked, display)
    form, copies = _prepared(asked, model)
    failed: list[Prediction] = []
    with ExitStack() as stack:
        show: Show = stack.enter_context(_written(asked, form, paths, model, display))
        for some in _ordered(asked, model.ask(paths, display)):
            show(some)
            if copies is not None:
                copies.add(some)
            failed += [each for each in some if each.error]
    done = _done(asked, copies, len(paths) - len(failed))
    end_with_bad(failed, len(paths), bad, done, display)
    if done:
        display.say(done)


def _model(found: Trained | Exported, asked: Asked, display: Display) -> Model:
    """Who is asked, and what is told beside the answers. Raises FtError for what is asked for and cannot be told,
    before any image is looked at."""
    from ft.exporting.used import Exported

    if asked.rank:
        found.task.check_uncertainty(found.space)
    return _exported(found, asked) if isinstance(found, Exported) else _trained(found, asked, display)


def _trained(found: Trained, asked: Asked, display: Display) -> Model:
    from ft.inference.familiar_images import familiar_images
    from ft.inference.predict import Beside, like, predict

    familiar = familiar_images(found, found.image_list.parent, display) if asked.unknown else None
    beside = Beside(asked.rank is not None, familiar)
    return Model(
        found.task, found.space, like(found), beside.like, lambda paths, display: predict(found, paths, display, beside)
    )


def _exported(found: Exported, asked: Asked) -> Model:
    from ft.inference.prediction import UNCERTAINTY

    if asked.unknown:
        raise FtError(
            "--unknown compares features, which an exported model does not give; ask the run, or leave it out"
        )
    ranks = asked.rank is not None
    return Model(
        found.task,
        found.space,
        found.like(),
        {UNCERTAINTY: 0.0} if ranks else {},
        lambda paths, display: found.predict(paths, display, ranks),
    )


def _prepared(asked: Asked, model: Model) -> tuple[Form, SortedCopies | None]:
    """The form of the answers, and what sorts copies. Raises FtError for what the task does not say, before any image
    is looked at."""
    from ft.cli.answers import Form
    from ft.inference.sorted_copies import SortedCopies

    one, task = model.like, model.task
    if asked.every and one.every() is None:
        raise FtError(f"--all tells the probability of every name, and the answers of task '{task.name}' have none")
    if asked.copy_to is not None and one.folders() is None:
        raise FtError(
            f"--copy-to sorts images by the names they get, and the answers of task '{task.name}' are no names"
        )
    copies = None if asked.copy_to is None else SortedCopies.into(asked.copy_to, model.space.names)
    return Form(asked.top, one, model.beside, asked.every), copies


def _written(
    asked: Asked, form: Form, paths: Sequence[Path], model: Model, display: Display
) -> AbstractContextManager[Show]:
    """What writes the answers where they are wanted."""
    from ft.cli.answer_files import answer_file
    from ft.cli.answers import json_list, table

    if asked.out is not None:
        return answer_file(asked.out, form)
    return json_list(form, display) if asked.as_json else table(paths, model.space.names, form, display)


def _ordered(asked: Asked, found: Iterable[list[Prediction]]) -> Iterable[list[Prediction]]:
    """The answers as they come; or, where they are ranked, all at once, images without an answer last."""
    from ft.inference.prediction import UNCERTAINTY

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
