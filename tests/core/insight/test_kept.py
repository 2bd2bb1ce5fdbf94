"""What is known of a run's images is in its folder as it was found out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ft.errors import FtError
from ft.insight.kept import as_kept, from_kept
from ft.insight.records import Judged, Known, NearCopy, Outlier, Spot, SuspectedLabel

SAID = [("a", "train", "x"), ("b", "train", "y"), ("c", "val", "x")]
KNOWN = Known(
    2,
    0,
    1.5,
    (SuspectedLabel("b", "train", "y", "x", -0.75),),
    "",
    Judged(("x", "y"), ((2, 0), (1, 1)), ("z",), 0.75, 0.1),
    (NearCopy(("a", "c"), ("train", "val"), ("x", "x"), "mirrored", 0.98),),
    (Outlier("a", "train", "x", 4.0),),
    (Spot("a", "train", "x", 0.5, -1.25), Spot("b", "train", "y", 0.0, 2.0)),
)


def kept(**changed: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(as_kept(KNOWN, [name for name, _, _ in SAID]))), **changed}


def test_it_is_read_as_it_was_written() -> None:
    assert from_kept(kept(), SAID) == KNOWN
    unjudged = replace(KNOWN, labels=(), judged=None, unjudged="all images are of one group")
    assert from_kept(json.loads(json.dumps(as_kept(unjudged, ["a", "b", "c"]))), SAID) == unjudged


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": [[3, "x", 0.1]]},
        {"copies": [[0, -1, "mirrored", 0.9]]},
        {"outliers": [["a", 1.0]]},
        {"map": [[0.0, 0.0]] * 4},
        {"map": [[float("nan"), 0.0]]},
        {"judged": {"classes": 3}},
    ],
)
def test_a_file_that_is_not_of_these_images_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(FtError, match=r"known\.json does not fit the images of images\.csv"):
        from_kept(kept(**changed), SAID)
