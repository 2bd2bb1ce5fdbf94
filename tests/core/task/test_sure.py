"""How far a figure can be trusted."""

from __future__ import annotations

import pytest

from ft import Figure
from ft.task.sure import Interval, Judged, Sure, too_few

ACCURACY = Figure("accuracy", "accuracy", ".1%", of_images=True)
ERROR = Figure("mae", "MAE", larger_is_better=False)


@pytest.mark.parametrize(
    ("figure", "interval", "guess", "tells"),
    [
        (ACCURACY, Interval(0.7, 0.9), 0.6, True),
        (ACCURACY, Interval(0.7, 0.9), 0.8, False),
        (ACCURACY, Interval(0.7, 0.9), 0.95, False),
        (ERROR, Interval(0.7, 0.9), 0.6, False),
        (ERROR, Interval(0.7, 0.9), 1.2, True),
        (ACCURACY, None, 0.6, True),
        (ACCURACY, Interval(0.7, 0.9), None, True),
    ],
)
def test_a_figure_tells_something_where_all_of_its_interval_is_better_than_a_guess(
    figure: Figure, interval: Interval | None, guess: float | None, tells: bool
) -> None:
    assert Sure(figure, 0.8, interval, guess).tells is tells


def test_images_that_are_too_few_are_said() -> None:
    narrow, wide = Interval(0.84, 0.88), Interval(0.70, 0.90)
    assert list(too_few(Sure(ACCURACY, 0.86, narrow, 0.5), "656 images")) == []
    (roughly,) = too_few(Sure(ACCURACY, 0.80, wide, 0.5), "40 images")
    assert "accuracy differs by less than about 10.0% may be as good" in roughly
    (nothing,) = too_few(Sure(ACCURACY, 0.80, wide, 0.75), "40 images")
    assert nothing.startswith("40 images are too few to tell, or nothing was learned")
    assert list(too_few(Sure(ERROR, 0.80, wide, 5.0), "40 images")) == []


def test_what_is_not_known_is_null_in_json() -> None:
    judged = Judged("val", 4, (Sure(ACCURACY, 1.0, Interval(0.51, 1.0), None), Sure(ERROR, 1.0, None, 2.0)), ("no",))
    assert judged.plain() == {
        "split": "val",
        "images": 4,
        "figures": {
            "accuracy": {"low": 0.51, "high": 1.0, "guess": None},
            "mae": {"low": None, "high": None, "guess": 2.0},
        },
        "warnings": ["no"],
    }
