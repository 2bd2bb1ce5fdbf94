"""Who takes which trial, and what is known of each; no network is trained here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.machine.python_display import PythonDisplay
from ft.tuning.choosers import PRUNERS, SAMPLERS, pruner_of, sampler_of
from ft.tuning.folder import Sweep
from ft.tuning.holding import Holder
from ft.tuning.records import Asked, SweepFile
from ft.tuning.space import space_of
from ft.tuning.study import MOST_TAKEN, Study, Taken
from ft.tuning.trial import run_trial

OVER = {"lr": "1e-4..1e-1:log", "epochs": "1..8", "head": "linear,mlp"}
MakeSweep = Callable[..., Sweep]


@pytest.fixture
def sweep(tmp_path: Path) -> MakeSweep:
    """Make a sweep of which nothing is run."""

    def make(sampler: str = "random", trials: int = 4, over: dict[str, Any] | None = None) -> Sweep:
        over = over or OVER
        how: dict[str, Any] = {"sampler": {"use": sampler}, "pruner": {"use": "median"}}
        asked = Asked(over=over, content={"backbone": "nobody:knows"}, flags={}, **how)
        about: dict[str, Any] = {"figure": "accuracy", "title": "accuracy", "form": ".1%", "larger_is_better": True}
        file = SweepFile(asked=asked, trials=trials, study="s", seed=0, **about)
        return Sweep(tmp_path, file, space_of(over))

    return make


def study_of(sweep: Sweep) -> Study:
    return Study(sweep.path, sweep.file, sweep.space, None)


def end(study: Study, taken: Taken, figure: float) -> None:
    assert study.end(replace(taken.trial, state="done", figure=figure))


def as_worker(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on as a worker on another machine."""
    monkeypatch.setattr("ft.tuning.study.me", lambda: Holder(name, 1, "token"))


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "gp"])
def test_every_sampler_chooses_from_the_space_and_what_matters_is_found(sampler: str, sweep: MakeSweep) -> None:
    study = study_of(sweep(sampler, trials=12))
    while (taken := study.take()) is not None:
        rate, epochs = float(taken.chosen["lr"]), int(taken.chosen["epochs"])
        assert 1e-4 <= rate <= 1e-1
        assert epochs in range(1, 9)
        end(study, taken, epochs / 8)
    assert [each.number for each in study.trials()] == list(range(12))
    assert next(iter(study.importance() or {})) == "epochs"


@pytest.mark.skipif(find_spec("cmaes") is not None, reason="cmaes is installed")
def test_a_sampler_whose_library_is_missing_says_what_to_install() -> None:
    with pytest.raises(FtError, match="takes cmaes, which is not installed: pip install cmaes"):
        sampler_of({"use": "cmaes"}, 0)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_takes_its_usual_settings(name: str) -> None:
    pruner_of({"use": name})


def test_a_grid_is_gone_through_once(sweep: MakeSweep) -> None:
    study = study_of(sweep("grid", trials=6, over={"epochs": "1..3", "head": "linear,mlp"}))
    chosen = []
    while (taken := study.take()) is not None:
        chosen.append((taken.chosen["epochs"], taken.chosen["head"]))
        end(study, taken, 0.5)
    assert chosen == [(epochs, head) for epochs in (1, 2, 3) for head in ("linear", "mlp")]
    assert set(SAMPLERS) >= {"grid"}


def test_two_workers_share_all_trials_and_take_none_twice(sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    given = sweep(trials=5)
    studies = {name: study_of(given) for name in ("one", "other")}
    taken: dict[str, list[Taken]] = {"one": [], "other": []}
    for name in ("one", "other", "one", "other", "one", "other", "other"):
        as_worker(name, monkeypatch)
        taken[name] += [found for found in [studies[name].take()] if found is not None]
    numbers = [each.trial.number for some in taken.values() for each in some]
    assert sorted(numbers) == [0, 1, 2, 3, 4]
    as_worker("other", monkeypatch)
    assert not studies["other"].end(replace(taken["one"][0].trial, state="done", figure=1.0)), "it is not its own"


def test_a_trial_that_was_let_go_is_taken_with_its_values_and_its_time(sweep: MakeSweep) -> None:
    given = sweep()
    study = study_of(given)
    first = study.take()
    assert first is not None
    assert not study.is_hopeless(first.trial.number, 1, 0.5)
    study.let_go(first.trial.number, 7.0)
    assert [each.state for each in study.trials()] == ["waiting"]
    again = study_of(given).take()
    assert again is not None
    assert (again.trial.number, again.chosen, again.spent) == (0, first.chosen, 7.0)


def test_what_is_drawn_for_a_trial_does_not_depend_on_who_takes_it(
    sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = sweep(trials=3)
    alone = []
    study = study_of(given)
    while (taken := study.take()) is not None:
        alone.append(taken.chosen)
        end(study, taken, 0.1)
    (given.path / "study").unlink()
    for number, name in enumerate(("a", "b", "c")):
        as_worker(name, monkeypatch)
        found = study_of(given).take()
        assert found is not None
        assert found.chosen == alone[number]


def test_a_trial_over_which_workers_die_fails_at_last(sweep: MakeSweep) -> None:
    given = sweep()
    study = study_of(given)
    for _ in range(MOST_TAKEN):
        assert study.take() is not None  # by a process that is gone when the next one asks
    taken = study.take()
    assert taken is not None
    ended = run_trial(taken, given, study, Plugins(()), PythonDisplay())
    assert ended is not None
    assert (ended.number, ended.state) == (0, "failed")
    assert "its worker was gone 3 times" in ended.why


def test_a_study_of_another_sweep_is_refused(sweep: MakeSweep) -> None:
    study_of(sweep())
    with pytest.raises(FtError, match="has another sweep 's'"):
        study_of(sweep(over={"lr": "1,2"}))
