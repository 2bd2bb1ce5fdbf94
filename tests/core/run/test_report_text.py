"""What `ft run` prints at the end."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ft import Figure
from ft.machine.display import Display
from ft.plan.records import CacheCost
from ft.run.next_steps import next_steps
from ft.run.report import Report
from ft.run.report_text import print_report
from ft.task.sure import Interval, Judged, Sure
from ft.testing.runs import told_by_run
from ft.tracking.events import RunEnded

ACCURACY = Figure("accuracy", "accuracy", ".1%", of_images=True)
SURE = Sure(ACCURACY, 0.9, Interval(0.85, 0.94), 0.6)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    ended = next(event for event in told_by_run(tmp_path_factory.mktemp("r")) if isinstance(event, RunEnded))
    return replace(ended.report, epochs=9, best_epoch=4, images={"train": 900, "val": 100, "test": 0})


def printed(report: Report, folder: Path) -> tuple[str, str]:
    """What is on stdout and on stderr."""
    out, err = io.StringIO(), io.StringIO()
    print_report(report, folder, Display(Console(file=out, width=80), Console(file=err, width=80)))
    return out.getvalue(), err.getvalue()


def test_how_sure_the_figures_are_and_what_a_guess_gets_is_said(report: Report, tmp_path: Path) -> None:
    out, err = printed(replace(report, judged=Judged("val", 100, (SURE,))), tmp_path)
    assert "sure        accuracy 85.0% to 94.0%, with 95 % confidence from 100 validation images\n" in out
    assert "guessing    accuracy 60.0%, with one answer to all images\n" in out
    assert err == ""
    out, _ = printed(replace(report, judged=Judged("test", 1, (SURE,))), tmp_path)
    assert "from 1 test image\n" in out


def test_nothing_is_said_of_what_is_not_known(report: Report, tmp_path: Path) -> None:
    out, _ = printed(replace(report, judged=Judged("val", 100, (replace(SURE, interval=None, guess=None),))), tmp_path)
    assert "\nsure" not in out
    assert "\nguessing" not in out


def test_what_the_task_warns_of_and_images_that_are_too_few_are_warnings(report: Report, tmp_path: Path) -> None:
    judged = Judged("val", 100, (replace(SURE, guess=0.9),), ("Never answered: [red]dirt[/red].",))
    _, err = printed(replace(report, judged=judged), tmp_path)
    first, second = err.splitlines()
    assert first == "warning: Never answered: [red]dirt[/red]"
    assert second.startswith("warning: 100 validation images are too few to tell")


@pytest.mark.parametrize(
    ("frozen", "cost", "said"),
    [
        (
            10,
            CacheCost("fast", "auto", computed=4, seconds=1.25, ceiling=20.0),
            "5 of 15 parameters in 1.0 s, the others proved unchanged; features computed once in 1.2 s (fast)",
        ),
        (
            10,
            CacheCost("exact", "auto", ceiling=20.0),
            "5 of 15 parameters in 1.0 s, the others proved unchanged; features found in the store (exact)",
        ),
        (
            0,
            CacheCost("off", "nothing is frozen"),
            "5 of 5 parameters in 1.0 s; nothing of the network was computed once: nothing is frozen",
        ),
    ],
)
def test_what_trained_is_one_line(report: Report, tmp_path: Path, frozen: int, cost: CacheCost, said: str) -> None:
    out, _ = printed(replace(report, frozen_parameters=frozen, cache=cost), tmp_path)
    assert f"trained     {said}\n" in out


def test_the_page_is_pointed_to_where_it_is(report: Report, tmp_path: Path) -> None:
    assert not any("report.html" in step for step in next_steps(report, tmp_path))
    (tmp_path / "report.html").touch()
    assert str(tmp_path / "report.html") in next_steps(report, tmp_path)[0]


def test_more_is_proposed_where_the_last_was_the_best(report: Report) -> None:
    last = replace(report, best_epoch=9)
    assert next_steps(last, Path("my run")) == [
        "the last epoch was the best; more may be better: ft run --resume 'my run' --epochs 14"
    ]
    (weaker,) = next_steps(replace(last, penalty=1e-5), Path("run"))
    assert "the weakest penalty was the best" in weaker
    assert "--set 'training.optimizer.penalties=[1e-06,1e-07]'" in weaker


def test_weaker_penalties_are_not_proposed_where_time_ended_before_those_that_were_planned(report: Report) -> None:
    ended = replace(report, best_epoch=9, time_budget={"asked": "1m", "cut": [], "ended": {1: 9}, "seconds": 60.0})
    assert not any("weakest" in step for step in next_steps(replace(ended, penalty=0.1), Path("run")))
    assert "ft run --resume run --epochs 14" in next_steps(ended, Path("run"))[0]


def test_the_last_stage_is_proposed_where_the_head_alone_trained_and_images_are_many(report: Report) -> None:
    (step,) = next_steps(report, Path("run"))
    assert step.endswith(": ft run --resume run --freeze depth:-1 --epochs 14 --lr 0.0001")
    few = {"train": 160, "val": 40, "test": 0}
    for other in (
        replace(report, images=few),
        replace(report, freeze=("all", "type:norm")),
        replace(report, train=("regex:layer4.*",)),
        replace(report, penalty=0.01),
    ):
        assert next_steps(other, Path("run")) == []
