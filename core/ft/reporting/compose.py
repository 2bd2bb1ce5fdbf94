"""The page of a run, put together: the verdict, how training went, what its task shows of each split, what trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import localtime, strftime

from ft._version import __version__
from ft.extension.sections import Section
from ft.pages.parts import renumbered
from ft.pages.records import Page
from ft.reporting.candidates import candidates
from ft.reporting.curves import curves
from ft.reporting.finished import Answers, Finished
from ft.reporting.started import started_from
from ft.reporting.trained import what_trained
from ft.reporting.verdict import CALLED, headlines, judged_by, remarks, sure_of
from ft.text.counting import number_of


def page_of(finished: Finished, answers: Sequence[Answers], of_images: Sequence[Section] = ()) -> Page:
    """All that the page says, with sections `of_images`, not of answers; images have their numbers in images.csv."""
    judged = judged_by(finished)
    whole = [each for each in answers if each.split == judged and len(each.places) == finished.count(judged)]
    figures = sure_of(finished, whole[0] if whole else None)
    return Page(
        title=f"{finished.provenance.get('data')} with {finished.config.backbone.use}",
        about=tuple(_about(finished)),
        headlines=headlines(finished, figures),
        notes=tuple(remarks(finished, figures)),
        sections=(
            *started_from(finished),
            curves(finished),
            *candidates(finished),
            *_of_task(finished, answers, judged),
            *of_images,
            what_trained(finished),
        ),
        made=f"Written by ft {__version__}. This file is complete: it needs no network, and asks for nothing.",
    )


def _about(finished: Finished) -> Iterator[str]:
    ended = localtime((finished.run.path / "report.json").stat().st_mtime)
    yield finished.task.name
    yield number_of(len(finished.space.names), *finished.task.record.noun)
    yield f"{len(finished.images):,} images"
    if (recipe := finished.config.recipe) is not None:
        yield f"recipe {recipe.use}"
    if (budget := finished.config.time_budget) is not None:
        yield f"planned for {budget.asked}"
    yield f"{ended.tm_mday} {strftime('%B %Y', ended)}"


def _of_task(finished: Finished, answers: Sequence[Answers], judged: str) -> Iterator[Section]:
    """What the task shows of each split, first of that by which the run is judged."""
    for each in sorted(answers, key=lambda each: each.split != judged):
        for section in finished.task.sections(each.outputs, each.targets, finished.space):
            placed = renumbered(section, each.places)
            other = f"{section.title} ({CALLED[each.split]} images)"
            yield placed if each.split == judged else replace(placed, title=other)
