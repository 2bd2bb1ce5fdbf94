"""`ft predict`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ft.cli.using import bad_images_option, load_folder, tta_option, using_a_run
from ft.errors import FtError
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.cli.answer_files import File
    from ft.cli.answers import Show
    from ft.data.pictures import Picture
    from ft.exporting.used import Exported
    from ft.extension.tasks import Answer, LabelSpace
    from ft.inference.form import Form
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
    resume: bool
    as_json: bool
    copy_to: Path | None
    unknown: bool
    rank: Literal["uncertain"] | None


@dataclass(frozen=True, eq=False)
class Model:
    """Who is asked: a run's model or an exported one; `of` says what decides its answers, for a file of them, `like` an
    answer might be, what is told `beside` it, and `ask`, which yields the answers for pictures, batch by batch, of so
    many."""

    task: ChosenTask
    space: LabelSpace
    of: Callable[[], Mapping[str, Any]]
    like: Answer
    beside: Mapping[str, float | bool]
    ask: Callable[[Sequence[Picture], Display], Iterator[list[Prediction]]]
    batch_size: int


@dataclass(frozen=True, eq=False)
class Written:
    """What shows answers where they are wanted; how many were there before, and why those of these that are none
    are."""

    show: Show
    before: int = 0
    failed: Sequence[str] = ()


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
    "--resume", is_flag=True, help="go on with what a stopped or killed command left of --out FILE; begin if it did not"
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

    IMAGES are files, folders, patterns as 'photos/**/*.jpg', archives as photos.tar, tables of paths as photos.csv, or
    - for paths on standard input, one a line.
    """
    from ft.cli.answer_files import check_form
    from ft.cli.answers import Unanswered, end_with_bad
    from ft.inference.asked_images import asked_pictures
    from ft.machine.display import Display

    asked = Asked(**{name: given.pop(name) for name in Asked.__dataclass_fields__})
    _check(asked)
    display = Display()
    pictures = asked_pictures(images, lambda: sys.stdin.buffer.read())
    if asked.out is not None:
        check_form(asked.out)
    model = _model(load_folder(run, given), asked, display)
    form, copies = _prepared(asked, model)
    failed = Unanswered()
    with ExitStack() as stack:
        written = stack.enter_context(_written(asked, form, pictures, model, display))
        failed.add(written.failed)
        if written.before:
            display.say(f"{written.before} of {number_of(len(pictures), 'image')} have their answers already")
        for some in _ordered(asked, model.ask(pictures[written.before :], display)):
            if copies is not None:
                copies.add(some)
            written.show(some)
            failed.add(each.error for each in some if each.error)
    done = _done(asked, copies, len(pictures) - failed.count)
    end_with_bad(failed, len(pictures), bad, done, display)
    if done:
        display.say(done)


def _check(asked: Asked) -> None:
    """Raise FtError for flags that do not go together."""
    if asked.out is not None and asked.as_json:
        raise FtError("--json prints, and --out writes to a file; give one of them (--out FILE.jsonl is JSON, too)")
    if asked.resume and asked.out is None:
        raise FtError("--resume goes on with a file of answers; name it by --out FILE")
    if asked.resume and asked.rank:
        raise FtError("--rank writes answers once all are there, so there is nothing to resume; leave out one of them")


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
        found.task,
        found.space,
        lambda: found.decided_by,
        like(found),
        beside.like,
        lambda pictures, display: predict(found, pictures, display, beside),
        found.batch_size,
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
        lambda: found.decided_by,
        found.like(),
        {UNCERTAINTY: 0.0} if ranks else {},
        lambda pictures, display: found.predict(pictures, display, ranks),
        found.batch_size,
    )


def _prepared(asked: Asked, model: Model) -> tuple[Form, SortedCopies | None]:
    """The form of the answers, and what sorts copies. Raises FtError for what the task does not say, before any image
    is looked at."""
    from ft.inference.form import Form
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


@contextmanager
def _written(
    asked: Asked, form: Form, pictures: Sequence[Picture], model: Model, display: Display
) -> Iterator[Written]:
    """What writes the answers where they are wanted."""
    from ft.cli.answer_files import answer_file
    from ft.cli.answers import json_list, table

    if asked.out is not None:
        with answer_file(_file(asked.out, asked, form, pictures, model)) as (show, grown):
            yield Written(show, grown.before, grown.notes)
        return
    names = (picture.name for picture in pictures)
    printing: AbstractContextManager[Show] = (
        json_list(form, display) if asked.as_json else table(names, model.space.names, form, display)
    )
    with printing as show:
        yield Written(show)


def _file(out: Path, asked: Asked, form: Form, pictures: Sequence[Picture], model: Model) -> File:
    """The file of answers. Whole batches of what is there are kept, so that images come in the batches in which they
    would have come: an answer depends on them, in the last bits."""
    from ft.cli.answer_files import File, key_of
    from ft.data.order import kept_in_batches
    from ft.machine.growing import Going

    if asked.rank:
        return File(out, form, None, None)
    of = {**model.of(), "--top": asked.top, "--all": asked.every, "--unknown": asked.unknown}
    of["--copy-to"] = asked.copy_to and str(asked.copy_to)
    going = Going(map(key_of, pictures), lambda done: kept_in_batches(done, len(pictures), model.batch_size))
    return File(out, form, of, going if asked.resume else None)


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
