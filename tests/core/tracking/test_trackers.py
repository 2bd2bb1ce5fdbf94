"""Trackers of plugins: told of everything, and never in the way of a run."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from ft import plan
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.testing import told_by_run
from ft.tracking.events import Event
from ft.tracking.listener import Listener
from ft.tracking.trackers import open_trackers

MakeConfig = Callable[..., Config]

TRACKERS = '''
import random, torch
from ft import FtError, RunStarted, Settings, Tracker

heard = []

class Choice(Settings):
    fails: str = ""

def track(settings):
    """Listens, draws, and fails where it is told to."""
    if settings.fails == "at once":
        raise ValueError("no\\nidea")
    if settings.fails == "for want of a library":
        raise FtError("needs what is not there")
    if settings.fails == "to return":
        return None

    def listen(event):
        heard.append(type(event).__name__)
        random.random(), torch.rand(3), torch.manual_seed(7)
        if settings.fails == type(event).__name__:
            raise LookupError("lost")
        if settings.fails == f"exits at {type(event).__name__}":
            raise SystemExit(3)
        if settings.fails == f"stops at {type(event).__name__}":
            raise KeyboardInterrupt

    return listen

Noisy = Tracker("noisy", "Draws random numbers", track=track, settings=Choice)
'''


class Warned(Display):
    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def noisy(tmp_path: Path) -> str:
    path = tmp_path / "noisy_tracker.py"
    path.write_text(TRACKERS)
    return f"{path}:Noisy"


def opened(tiny_config: MakeConfig, plugins: Plugins, display: Display, tracker: str, fails: str) -> Listener:
    config = tiny_config(trackers=[{"use": tracker, "fails": fails}])
    (listener,) = open_trackers(config, plugins, display)
    return listener


def heard_by(listener: Listener, folder: Path) -> list[str]:
    """The events that a listener's tracker was told of, of a whole run."""
    events: list[Event] = told_by_run(folder)
    for event in events:
        listener(event)
    return [type(event).__name__ for event in events]


def digest(run: Run) -> str:
    return hashlib.sha256((run.path / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("freeze", ["all", "none"])
def test_the_same_weights_come_out_with_trackers_and_without(
    freeze: str, noisy: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"freeze": [freeze], "training__mixup": 0.2 if freeze == "none" else 0.0}
    alone, plain = finetune(tiny_config(run_dir=tmp_path / "a", **keys), plugins, Display())
    trackers = [noisy, {"use": noisy, "fails": "EpochDone"}, "csv"]
    display = Warned()
    told, report = finetune(tiny_config(run_dir=tmp_path / "b", trackers=trackers, **keys), plugins, display)
    assert digest(told) == digest(alone)
    assert report.plan_digest == plain.plan_digest
    assert len((told.path / "metrics.csv").read_text().splitlines()) == 3
    assert [text for text in display.warnings if "LookupError" in text] == [
        "tracker 'noisy' failed, and is told nothing more of this run: "
        f"LookupError: lost ({tmp_path / 'noisy_tracker.py'}:{TRACKERS.splitlines().index(lost) + 1})"
    ]


lost = '            raise LookupError("lost")'


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("at once", "ValueError: no idea ("),
        ("to return", "TypeError: track returned None; it has to return a function that takes an event"),
        ("RunStarted", "LookupError: lost ("),
        ("RunEnded", "LookupError: lost ("),
        ("exits at EpochDone", "SystemExit: 3 ("),
    ],
)
def test_a_tracker_that_raises_is_one_warning(
    fails: str, said: str, noisy: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    display = Warned()
    heard_by(opened(tiny_config, plugins, display, noisy, fails), tmp_path / "told")
    (warning,) = display.warnings
    assert warning.startswith(f"tracker 'noisy' failed, and is told nothing more of this run: {said}")


def test_a_request_to_stop_goes_through_a_tracker(
    noisy: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    listener = opened(tiny_config, plugins, Warned(), noisy, "stops at EpochDone")
    with pytest.raises(KeyboardInterrupt):
        heard_by(listener, tmp_path / "told")
    assert not issubclass(StopAsked, Exception), "so it is never taken for a fault of the tracker"


def test_who_works_on_a_tracker_sees_where_it_fails(
    noisy: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_RAISE_PLUGIN_ERRORS", "1")
    with pytest.raises(LookupError, match="lost"):
        heard_by(opened(tiny_config, plugins, Warned(), noisy, "RunStarted"), tmp_path / "told")


def test_what_a_tracker_draws_is_drawn_again(
    noisy: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    listener = opened(tiny_config, plugins, Display(), noisy, "")
    before = random.getstate(), torch.get_rng_state()
    heard_by(listener, tmp_path / "told")
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        ("cvs", "no tracker named 'cvs'. Did you mean 'csv'?"),
        ("csv:mine.csv", "tracker 'csv' takes settings, not an argument; write --set trackers.KEY=VALUE"),
        ({"use": "csv", "fle": "a"}, "unknown setting 'trackers.fle'. Did you mean 'file'?"),
        ("head:linear", "no tracker named 'head'"),
    ],
)
def test_a_tracker_that_is_not_there_is_told_before_anything_is_read(
    tracker: Any, message: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    config = tiny_config(trackers=[tracker], data="./nowhere")
    with pytest.raises(FtError) as raised:
        finetune(config, plugins, Display())
    assert str(raised.value).startswith(message)
    assert not (tmp_path / "run").exists()


def test_a_library_that_is_missing_is_told_before_anything_is_read(
    noisy: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    config = tiny_config(trackers=[{"use": noisy, "fails": "for want of a library"}], data="./nowhere")
    with pytest.raises(FtError, match=r"^needs what is not there$"):
        finetune(config, plugins, Display())
    assert not (tmp_path / "run").exists()


def test_a_plan_tells_of_a_missing_library_as_a_run_does(noisy: str, ft: Callable[..., Result]) -> None:
    trackers = [{"use": noisy, "fails": "for want of a library"}]
    keys: dict[str, Any] = {"backbone": "torchvision:resnet18", "data": "./nowhere"}
    with pytest.raises(FtError, match=r"^needs what is not there$"):
        plan(keys, trackers=trackers)
    Path("asked.json").write_text(json.dumps({**keys, "trackers": trackers}))
    assert str(ft("plan", "--config", "asked.json", fails=True).exception) == "needs what is not there"


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_goes_on_may_get_another_tracker(epochs: int, tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, _ = finetune(tiny_config(training__epochs=1), plugins, Display())
    config = run.config(True, {"trackers": ["csv"], "training.epochs": epochs})
    finetune(config, plugins, Display(), run)
    table = (run.path / "metrics.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in table] == ["epoch", "1", "2"][: epochs + 1]
    assert [each.name for each in run.versions_file().components if each.kind == "tracker"] == ["csv"]
    assert [each.use for each in run.config(True).trackers] == ["csv"]
