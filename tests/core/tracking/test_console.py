"""What the console shows of a run's events."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from classified import classification
from ft.machine.display import Display
from ft.run.position import EpochRecord
from ft.tracking.console import console
from ft.tracking.events import CheckpointSaved, EpochDone, Event, FeaturesReady, ImagesReady, PenaltyDone, RunFailed

FIGURES = (*classification().figures,)
RECORD = EpochRecord(
    7, {"loss": 0.5322, "accuracy": 0.734}, 0.001, 12.3, {"loss": 0.5, "accuracy": 0.8, "macro_f1": 0.79}, 1e-3
)


def shown(event: Event, width: int = 140, terminal: bool = False) -> list[str]:
    out = io.StringIO()
    screen = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    console(Display(screen, screen))(event)
    return out.getvalue().splitlines()


def test_a_line_of_an_epoch_fits_a_narrow_terminal() -> None:
    for width, named in ((80, False), (140, True)):
        (line,) = shown(EpochDone(RECORD, 120, 70, True, FIGURES), width, terminal=True)
        assert len(line) < width
        assert ("accuracy" in line) is named


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            EpochDone(RECORD, 120, 70, True, FIGURES),
            "epoch   7/120  train loss 0.5322  accuracy  73.4%   val loss 0.5000  accuracy  80.0%  "
            "macro F1 0.790   12.3 s  best",
        ),
        (
            PenaltyDone(RECORD, 9, False, FIGURES),
            "penalty  1.0e-03 (7/9)  train loss 0.5322  accuracy  73.4%   val loss 0.5000  accuracy  80.0%  "
            "macro F1 0.790   12.3 s",
        ),
        (FeaturesReady(8, 4, 1.25), "features of the frozen prefix: computed for 8 images in 1.2 s"),
        (
            FeaturesReady(8, 0, 1.25),
            "features of the frozen prefix: computed for 8 images in 1.2 s, no image was decoded",
        ),
        (FeaturesReady(0, 0, 0.1), "features of the frozen prefix: found, no image was decoded"),
        (ImagesReady(8, 1.25), "images: 8 decoded in 1.2 s"),
        (ImagesReady(0, 1.25), "images: found, none was decoded"),
        (ImagesReady(0, 1.25, 9), "images: 9 decoded while they were checked"),
        (ImagesReady(2, 1.25, 9), "images: 9 decoded while they were checked, 2 decoded in 1.2 s"),
    ],
)
def test_an_event_is_a_line(event: Event, line: str) -> None:
    assert shown(event) == [line]


@pytest.mark.parametrize("event", [CheckpointSaved(RECORD, 1, 0), RunFailed("why", False)])  # type: ignore[arg-type]
def test_what_is_seen_by_other_means_is_no_line(event: Event) -> None:
    assert shown(event) == []
