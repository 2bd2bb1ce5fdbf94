"""How a run that started from another one does beside that."""

from __future__ import annotations

from collections.abc import Iterator

from ft.extension.sections import Note, Section
from ft.extension.tasks import Table
from ft.reporting.finished import Finished
from ft.text.counting import number_of, some_names


def started_from(finished: Finished) -> Iterator[Section]:
    """The figures of both on the same images; nothing of a run that started from none, or where that is not known."""
    before = finished.report.model_dump().get("before")
    if not isinstance(before, dict):
        return
    then, now = before["then"], before["now"]
    there = [each for each in finished.task.figures if each.name in then and each.name in now and each.name != "loss"]
    rows = [
        {"figure": each.title, "then": each.written(then[each.name]), "now": each.written(now[each.name])}
        for each in there
    ]
    columns = {"figure": ("figure", ""), "then": ("the run before", ""), "now": ("this run", "")}
    images = number_of(before["images"], "validation image")
    lead = f"Both models on the same {images} of what the run before knows: {some_names(before['names'])}."
    left = number_of(before["left_out"], "image")
    more = len(finished.space.names) - len(before["names"])
    grown = f" This one knows {number_of(more, *finished.task.record.noun)} more, and may answer with those, too."
    notes = [Note(f"The run before is {before['run']}; neither trained on these images.{grown if more > 0 else ''}")]
    notes += [Note(f"Without {left} that trained it.")] if before["left_out"] else []
    yield Section("Before and now", (Table("before", columns, tuple(rows)), *notes), lead)
