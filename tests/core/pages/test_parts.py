from __future__ import annotations

from typing import Any

import pytest

from ft.extension.sections import Chart, Choice, Line, Matrix, Note, Pictures, Section, Shot, Slider
from ft.extension.tasks import Table
from ft.pages.parts import faults_of, parts_in, renumbered

EVERY = Section(
    "Everything",
    (
        Note("A paragraph"),
        Pictures("", (Shot(0, "first", of=1), Shot(2, "last", beside=1))),
        Chart("", "x", "y", (Line("one", ((0, 1), (1, 2)), places=(1, 2)),), kind="points"),
        Matrix(("a", "b"), {(0, 1): (0, 2)}),
        Table("classes", {"name": ("class", "")}, ({"name": "a"},)),
        Choice("class", {"a": (Pictures("", (Shot(1, "chosen"),)),)}),
        Slider("threshold", (0.1, 0.9), (("precision", ".1%"),), ((0.5,), (0.9,))),
    ),
)


def test_a_section_of_every_part_has_no_fault() -> None:
    assert list(faults_of(EVERY, images=3, outputs=2)) == []


def test_images_are_numbered_anew_wherever_they_stand() -> None:
    there = renumbered(EVERY, [10, 11, 12])
    assert list(faults_of(there, images=13, outputs=2)) == []
    _, pictures, chart, matrix, _, choice, _ = there.parts
    assert isinstance(pictures, Pictures)
    assert [(shot.place, shot.beside) for shot in pictures.shots] == [(10, None), (12, 11)]
    assert isinstance(chart, Chart)
    assert chart.lines[0].places == (11, 12)
    assert isinstance(matrix, Matrix)
    assert matrix.cells == {(0, 1): (10, 12)}
    assert isinstance(choice, Choice)
    (chosen,) = choice.parts["a"]
    assert isinstance(chosen, Pictures)
    assert chosen.shots[0].place == 11
    assert len(list(parts_in(there.parts))) == 8


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (Note(""), "a note without a text"),
        (Pictures("", (Shot(3, ""),)), "image 3, and the rows of the split are 0 to 2"),
        (Pictures("", (Shot(-1, ""),)), "image -1"),
        (Pictures("", (Shot(0, "", beside=3),)), "image 3"),
        (Pictures("", (Shot(0, "", of=2),)), "a picture of output 2, and there are 2"),
        (Chart("", "", "", (Line("x", ((0, float("nan")),)),)), "a line 'x' with a point that is no number"),
        (Chart("", "", "", (Line("x", ((0, 1),), places=(0, 1)),)), "a line 'x' with 1 points and 2 places"),
        (Chart("", "", "", (Line("x", ((0, 1),), places=(9,)),)), "image 9"),
        (Matrix(("a",), {(0, 1): (0,)}), "a matrix with a cell outside its 1 names"),
        (Matrix(("a",), {(0, 0): (7,)}), "image 7"),
        (Table("t", {"a": ("", "")}, ({"b": 1},)), "a table 't' with a row of other columns"),
        (Choice("class", {}), "nothing to choose from as 'class'"),
        (Choice("class", {"a": (Note(""),)}), "a note without a text"),
        (Slider("", (), (), ()), "a slider of 0 values and 0 rows"),
        (Slider("", (1.0,), (), ((),), start=1), "a slider that starts at value 1 of 1"),
        (Slider("", (1.0,), (), ((1.0,),)), "a slider with a row of other than 0 numbers"),
        ("text", "'text', which is none of Note, Pictures, Chart, Matrix, Table, Choice, Slider, Facts"),
    ],
)
def test_what_cannot_be_drawn_is_said(part: Any, fault: str) -> None:
    (found,) = faults_of(Section("Wrong", (part,)), images=3, outputs=2)
    assert found.startswith(f"has in 'Wrong' {fault}")


def test_a_section_has_a_title() -> None:
    assert list(faults_of(Section("", ()), 1, 1)) == ["has a section without a title"]
