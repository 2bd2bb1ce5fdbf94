"""What features know is told on a page: with pictures, copies across splits first, and a map that stays small."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from ft.extension.sections import Chart, Note, Pictures
from ft.insight.records import Judged, Known, NearCopy, Outlier, Spot, SuspectedLabel
from ft.insight.section import MOST_POINTS, known_section, thinned

NAMES = ["a", "b", "c", "d"]
PLACES = {name: place for place, name in enumerate(NAMES)}
SPOTS = tuple(
    Spot(name, "val" if name == "d" else "train", f"label {name in 'ab'}", 1.0 * n, -n) for n, name in enumerate(NAMES)
)
NOTHING = Known(4, 0, 0.1, (), "", Judged(("x", "y"), ((2, 0), (0, 2)), (), 0.75, 0.1), (), (), SPOTS)
FOUND = replace(
    NOTHING,
    labels=(SuspectedLabel("b", "train", "label True", "label False", -0.9),),
    copies=(
        NearCopy(("a", "b"), ("train", "train"), ("x", "x"), "mirrored", 0.99),
        NearCopy(("c", "d"), ("train", "val"), ("x", "y"), "as it is", 0.95),
    ),
    outliers=(Outlier("c", "train", "x", 5.25),),
)


def titles(known: Known, everything: int = 4) -> list[str]:
    return [part.title for part in known_section(known, PLACES, everything).parts if isinstance(part, Chart | Pictures)]


def test_copies_across_splits_come_before_others_with_a_warning() -> None:
    parts = known_section(FOUND, PLACES, 4).parts
    assert titles(FOUND) == [
        "1 label may be wrong",
        "The same in two splits: 1 pair",
        "The same in one split: 1 pair",
        "1 image is unlike all others",
        "Map of all images",
    ]
    (warning,) = [part for part in parts if isinstance(part, Note) and part.warns]
    assert warning.text.startswith("1 pair lies across splits")
    labels, across, within, outliers = (part.shots for part in parts if isinstance(part, Pictures))
    assert [(shot.place, shot.marked) for shot in labels] == [(1, "label False?")]
    assert [(shot.place, shot.beside) for shot in (*across, *within)] == [(2, 3), (0, 1)]
    assert "5.2 deviations" in outliers[0].caption


def test_where_nothing_is_found_that_is_said() -> None:
    notes = [part.text for part in known_section(NOTHING, PLACES, 4).parts if isinstance(part, Note)]
    assert [text.partition(".")[0] for text in notes] == [
        "No label is suspected",
        "No two images show the same",
        "No image is unlike all others",
    ]
    unjudged = replace(NOTHING, judged=None, unjudged="all images are of one group")
    assert "Labels are not judged: all images are of one group." in str(known_section(unjudged, PLACES, 4))


def test_images_without_features_are_counted() -> None:
    assert "in all 4 images" not in known_section(NOTHING, PLACES, 4).lead
    assert "in all 9 images; the network has not been asked about 5 of them" in known_section(NOTHING, PLACES, 9).lead


def test_the_map_tells_labels_apart_and_what_may_be_wrong() -> None:
    (chart,) = [part for part in known_section(FOUND, PLACES, 4).parts if isinstance(part, Chart)]
    assert {line.name: line.places for line in chart.lines} == {
        "label False": (2, 3),
        "label True": (0, 1),
        "label may be wrong": (1,),
    }
    many = replace(FOUND, places=tuple(replace(spot, label=f"{n}") for n, spot in enumerate(SPOTS * 3)))
    (chart,) = [part for part in known_section(many, PLACES, 4).parts if isinstance(part, Chart)]
    assert [line.name for line in chart.lines] == ["train", "val", "label may be wrong"]


@given(st.integers(0, 40), st.integers(1, 12), st.sets(st.integers(0, 39)))
def test_a_map_of_many_images_keeps_what_was_found_and_the_order(many: int, most: int, kept: set[int]) -> None:
    spots = [Spot(f"{n}", "train", "x", n, n) for n in range(many)]
    some = thinned(spots, most, {f"{n}" for n in kept})
    assert len(some) == min(many, most)
    assert [spot.x for spot in some] == sorted({spot.x for spot in some})
    there = {n for n in kept if n < many}
    assert len([spot for spot in some if int(spot.path) in there]) >= min(len(there), most // 2)


def test_fifty_thousand_images_are_a_bounded_map() -> None:
    names = [f"{n}" for n in range(50_000)]
    spots = tuple(Spot(name, "train", "x", n, n) for n, name in enumerate(names))
    known = replace(NOTHING, images=len(spots), places=spots)
    section = known_section(known, {name: n for n, name in enumerate(names)}, len(names))
    (chart,) = [part for part in section.parts if isinstance(part, Chart)]
    assert len(chart.lines[0].points) == MOST_POINTS
    assert "4000 of 50000 images are drawn" in chart.note
