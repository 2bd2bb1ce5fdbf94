"""Sweeps of a tiny network: what becomes of every trial, whoever is stopped, killed or wrong."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import warm_python
from conftest import TINY
from faults.interrupted_commands import FT, wait_for
from finished_runs import metrics_in

FLAGS = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--workers", "0", "--epochs", "2"),
    *("--precision", "fp32", "--device", "cpu", "--set", "data={use: demo, images_per_class: 6, size: 32}"),
    *("--set", "report.html=false"),
)
Type = Callable[..., Result]


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def states(folder: Path) -> list[tuple[int, str]]:
    return [(each["number"], each["state"]) for each in results(folder)["trials"]]


def test_a_sweep_is_trials_a_table_a_page_and_runs_that_repeat_by_themselves(ft: Type, tmp_path: Path) -> None:
    over = ("--over", "lr=1e-4..1e-1:log", "--over", "head=linear,{use: mlp, hidden: [8]}")
    done = ft("sweep", *FLAGS, "--freeze", "all", *over, "--trials", "4", "--pruner", "none", "--run-dir", "s")
    found = results(tmp_path / "s")
    assert states(tmp_path / "s") == [(number, "done") for number in range(4)]
    assert set(found["importance"] or {"lr": 0, "head": 0}) == {"lr", "head"}
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    best = f"trial-{found['best']:04d}"
    assert f"ft run --config s/{best}/config.yaml" in done.stdout
    page = (tmp_path / "s/sweep.html").read_text()
    assert all(title in page for title in ("What matters", "Keys and figure", "Figure against time", "All trials"))
    ft("run", "--config", f"s/{best}/config.yaml", "--run-dir", "again")
    again, before = (metrics_in(folder)[-1] for folder in (tmp_path / "again", tmp_path / "s" / best))
    assert {**again, "seconds": 0} == {**before, "seconds": 0}
    logs = [(tmp_path / f"s/logs/trial-{number:04d}.log").read_text() for number in range(4)]
    assert "features of the frozen prefix: computed for 24 images" in logs[0]
    assert all("features of the frozen prefix: found, no image was decoded" in log for log in logs[1:])


def test_what_is_wrong_with_one_combination_costs_no_other_its_place(ft: Type, tmp_path: Path) -> None:
    over = ("--over", "freeze=all,nonsense", "--sampler", "grid")
    done = ft("sweep", *FLAGS, *over, "--run-dir", "s")
    assert states(tmp_path / "s") == [(0, "done"), (1, "failed")]
    assert "trial 1 failed: no freezing strategy named 'nonsense'" in done.stdout
    assert "no freezing strategy" in (tmp_path / "s/sweep.html").read_text()


def test_where_every_trial_fails_that_is_an_error(ft: Type, tmp_path: Path) -> None:
    over = ("--over", "freeze=nonsense,missing", "--sampler", "grid")
    failed = ft("sweep", *FLAGS, *over, "--run-dir", "s", fails=True)
    assert "all 2 trials failed" in str(failed.exception)
    assert "named 'missing'" in str(failed.exception)


def test_a_hopeless_trial_is_pruned_and_its_run_could_go_on(ft: Type, tmp_path: Path) -> None:
    over = ("--over", "lr=0.05,1e-7", "--sampler", "grid", "--monitor", "loss", "--head-lr", "1e-7")
    ft("sweep", *FLAGS, *over, "--pruner", "{use: median, n_startup_trials: 1}", "--run-dir", "s")
    assert states(tmp_path / "s") == [(0, "done"), (1, "pruned")]
    said = json.loads((tmp_path / "s/trial-0001/trial.json").read_text())
    assert (said["state"], said["epochs"]) == ("pruned", 1)
    assert "ft run --resume s/trial-0001" in said["why"]
    ft("run", "--resume", "s/trial-0001", "--trust-code")
    assert len(metrics_in(tmp_path / "s/trial-0001")) == 2


def test_the_same_command_goes_on_and_another_one_is_told_what_differs(ft: Type, tmp_path: Path) -> None:
    sweep = ("sweep", *FLAGS, "--over", "lr=0.01,0.02", "--sampler", "random", "--run-dir", "s")
    ft(*sweep, "--trials", "1")
    first = (tmp_path / "s/trial-0000/config.yaml").stat().st_mtime_ns
    ft(*sweep, "--trials", "2")
    assert (tmp_path / "s/trial-0000/config.yaml").stat().st_mtime_ns == first
    other = ft(*sweep, "--seed", "1", fails=True)
    assert "differs in flags" in str(other.exception)
    ft("sweep", "--join", "s", "--trust-code", "--trials", "3")
    assert states(tmp_path / "s") == [(0, "done"), (1, "done"), (2, "done")]
    mixed = ft("sweep", "--join", "s", "--trust-code", "--over", "lr=1,2", fails=True)
    assert "--join goes on with a sweep as it was begun; leave out over" in str(mixed.exception)


def test_a_database_keeps_trials_as_well(ft: Type, tmp_path: Path) -> None:
    where = ("--storage", f"sqlite:///{tmp_path}/trials.db")
    ft("sweep", *FLAGS, "--over", "lr=0.01,0.02", "--trials", "1", *where, "--run-dir", "s")
    assert (tmp_path / "trials.db").stat().st_size
    ft("sweep", "--join", "s", "--trust-code", "--trials", "2")
    assert states(tmp_path / "s") == [(0, "done"), (1, "done")]
    other = ft("sweep", *FLAGS, "--over", "lr=0.01,0.03", *where, "--run-dir", "elsewhere/s", fails=True)
    assert "has another sweep 's'" in str(other.exception)


def test_a_killed_workers_trial_is_gone_on_with_and_all_are_counted_once(ft: Type, tmp_path: Path) -> None:
    sweep = (*FLAGS, "--over", "lr=0.01..0.1", "--trials", "2", "--run-dir", "s", "--epochs", "24", "--pruner", "none")
    killed = warm_python.start(FT, ["sweep", *sweep], tmp_path)
    wait_for(lambda: (tmp_path / "s/sweep.json").exists(), killed)
    joined = warm_python.start(FT, ["sweep", "--join", "s", "--trust-code"], tmp_path)
    wait_for(lambda: all((tmp_path / f"s/trial-{number:04d}/last.pt").exists() for number in (0, 1)), killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(60)
    _, err = joined.communicate(120)
    assert joined.returncode == 0, err
    assert states(tmp_path / "s") == [(0, "done"), (1, "done")]
    assert [each["epochs"] for each in results(tmp_path / "s")["trials"]] == [24, 24]
    for log in (tmp_path / "s/logs").glob("trial-*.log"):
        assert len(re.findall(r"^epoch  1/24", log.read_text(), re.MULTILINE)) == 1, "it went on from its checkpoint"


def test_a_stopped_sweep_says_how_it_goes_on(ft: Type, tmp_path: Path) -> None:
    args = ["sweep", *FLAGS, "--over", "lr=0.01..0.1", "--trials", "1", "--run-dir", "s", "--epochs", "24"]
    stopped = warm_python.start(FT, args, tmp_path)
    wait_for(lambda: (tmp_path / "s/trial-0000/last.pt").exists(), stopped)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate(60)
    assert stopped.returncode == 130
    assert "Continue with: ft sweep --join s" in err
    assert states(tmp_path / "s") == [(0, "waiting")]
    ft("sweep", "--join", "s", "--trust-code")
    assert states(tmp_path / "s") == [(0, "done")]


def test_a_config_file_has_a_section_for_the_sweep_that_flags_go_over(ft: Type, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(
        "freeze: all\nsweep:\n  over:\n    lr: {low: 0.01, high: 0.1, log: true}\n    batch_size: [4, 8]\n  trials: 9\n"
        "  sampler: random\n"
    )
    ft("sweep", "--config", "sweep.yaml", *FLAGS, "--trials", "1", "--over", "lr=0.5,0.6", "--run-dir", "s")
    (trial,) = results(tmp_path / "s")["trials"]
    assert trial["values"]["lr"] in ("0.5", "0.6")
    assert trial["values"]["batch_size"] in ("4", "8")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "over what?"),
        (("--over", "lr=1,2", "--lr", "3"), "--lr and --over lr are the same key"),
        (("--over", "lr=1,2", "--set", "training.lr=3"), "--set training.lr=3 and --over lr are the same key"),
        (("--over", "lr=1,2", "--over", "lr=3,4"), "--over lr is there twice"),
        (("--over", "lr=1,2", "--sampler", "tpo"), "Did you mean 'tpe'"),
        (("--over", "lr=1,2", "--pruner", "{use: median, warmup: 2}"), "does not take its settings"),
        (("--over", "lr=1,2", "--sampler", "grid", "--trials", "3"), "the whole grid is 2"),
        (("--over", "lr=1,2", "--timeout", "5"), "5 of what?"),
        (("--over", "lr=1,2", "--folds", "3"), "add --fold 1"),
        (("--over", "lr=1,2", "--storage", "nowhere"), "Write an address as sqlite"),
        (("--over", "lr=1,2", "--monitor", "acuracy"), "Did you mean 'accuracy'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_said_before_the_first_trial(ft: Type, tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    failed = ft("sweep", *FLAGS, *args, "--run-dir", "s", fails=True)
    assert said in f"{failed.exception}{failed.output}"
    assert not list(tmp_path.glob("s/trial-*"))


def test_without_optuna_the_extra_is_named(ft: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft.tuning.records.find_spec", lambda name: None)
    failed = ft("sweep", *FLAGS, "--over", "lr=1,2", fails=True)
    assert "pip install 'ftkit[sweep]'" in str(failed.exception)


def test_a_folder_without_a_sweep_is_said_to_be_none(ft: Type, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r/config.yaml").touch()
    assert "ft run --resume r" in str(ft("sweep", "--join", "r", fails=True).exception)
