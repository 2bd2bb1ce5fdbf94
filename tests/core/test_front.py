"""The front page: the same as the commands, from Python, and nothing of Python is left changed."""

from __future__ import annotations

import html
import importlib
import json
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file

import ft
from conftest import TINY
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune as straight_path
from ft.machine.display import Display
from ft.machine.randomness import one_run_at_a_time

KEYS: dict[str, Any] = {
    "backbone": f"{TINY}:small",
    "weights": "none",
    "data": {"use": "demo", "images_per_class": 6, "size": 32},
    "image_size": 16,
    "precision": "fp32",
    "device": "cpu",
    "workers": 0,
    "epochs": 2,
    "batch_size": 8,
    "report": {"html": False},
}
FLAGS = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--set", "data={use: demo, images_per_class: 6, size: 32}"),
    *("--image-size", "16", "--precision", "fp32", "--device", "cpu", "--workers", "0", "--epochs", "2"),
    *("--batch-size", "8", "--set", "report.html=false"),
)

IN_A_NOTEBOOK = "_repr_html_"
"""What Jupyter calls to show a value."""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_plan_is_printed_as_ft_plan_prints_it(ft: Callable[..., Result]) -> None:
    plan = front().plan(**KEYS, freeze=["depth:1", "depth:1"])
    printed = ft("plan", *FLAGS, "--freeze", "depth:1", "--freeze", "depth:1").output
    assert str(plan).split() == printed.split()  # folded as on a terminal
    assert max(map(len, str(plan).split("\n\n")[-1].splitlines()[:6])) <= 80
    assert "warning: --freeze depth:1 adds nothing" in str(plan)
    assert getattr(plan, IN_A_NOTEBOOK)().startswith("<pre>backbone ")
    assert (plan.epochs, plan.classes, plan.image_size) == (2, ("circle", "cross", "square", "triangle"), 16)
    assert len(repr(plan)) < 200


def front() -> Any:
    """The package; `ft` is the command line in some of these tests."""
    return sys.modules["ft"]


def test_a_run_does_what_the_straight_path_does(
    tiny_config: Callable[..., Config], plugins: Plugins, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = ft.finetune(**KEYS, run_dir="my run")
    assert capfd.readouterr() == ("", "")
    done, report = straight_path(tiny_config(), plugins, Display())
    assert run.path == tmp_path / "my run"
    assert same(run.path, done.path)
    assert (run.report.val, run.report.plan_digest) == (report.val, report.plan_digest)
    assert run.plan == ft.plan(**KEYS)
    assert run.load(trust_code=True).classes == ft.load(run, trust_code=True).classes == run.plan.classes
    assert str(run).startswith("best epoch ")
    assert "\nuse it      ft predict 'my run' IMAGES --trust-code" in str(run)
    assert getattr(run, IN_A_NOTEBOOK)() == f"<pre>{html.escape(str(run))}</pre>"


def test_it_tells_what_it_does_where_it_is_asked_to(capfd: pytest.CaptureFixture[str]) -> None:
    ft.finetune(**KEYS, verbose=True)
    out, err = capfd.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "run folder runs/" in err
    assert "\x1b" not in out + err


def test_what_the_command_line_warns_of_is_a_warning_of_python() -> None:
    with pytest.warns(ft.FtWarning) as warned:
        run = ft.finetune(**KEYS, freeze=["depth:1", "depth:1"], run_dir="a")
    assert [str(each.message) for each in warned] == list(run.plan.warnings)
    assert "--freeze depth:1 adds nothing to what the other rules freeze; leave it out" in run.plan.warnings
    assert {each.filename for each in warned} == {__file__}
    os.chmod("a", 0o777)
    with pytest.warns(ft.FtWarning, match="everybody on this machine can write to a;") as warned:
        ft.load("a", trust_code=True)
    assert [each.filename for each in warned] == [__file__]


def state() -> dict[str, Any]:
    return {
        "random": (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),  # type: ignore[index]
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "dtype": torch.get_default_dtype(),
        "deterministic": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark),
        "attention": torch.backends.mha.get_fastpath_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "environment": dict(os.environ),
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals() - {signal.SIGCHLD}},
        "folder": os.getcwd(),
        "threads of python": {each.name for each in threading.enumerate()} - {"tqdm_monitor"},
        "excepthook": (sys.excepthook, threading.excepthook),
    }


def test_nothing_of_the_process_is_left_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    torch.rand(1), random.random(), np.random.rand()
    before = state()
    ft.plan(**KEYS, freeze="all")
    with warnings.catch_warnings(action="ignore", category=ft.FtWarning):
        run = ft.finetune(**KEYS, freeze="all")
    model = run.load(trust_code=True)
    model.predict(torch.zeros(3, 20, 20, dtype=torch.uint8))
    after = state()
    assert {name: after[name] for name in before if after[name] != before[name]} == {}


def test_a_run_goes_on_where_it_stopped_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ft.finetune(**KEYS, run_dir="whole")
    first = ft.finetune(**{**KEYS, "epochs": 1}, run_dir="first")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    on = ft.finetune(resume="../first", epochs=2, trust_code=True)
    assert Path.cwd() == tmp_path / "elsewhere"
    assert on.path.samefile(first.path)
    assert (on.report.epochs, on.plan.epochs) == (2, whole.plan.epochs)
    with pytest.raises(ft.FtError, match=r"leave out image_size\. Beside it there may be .*freeze"):
        ft.finetune(resume="../first", image_size=32)
    found: list[BaseException] = []

    def resume() -> None:
        try:
            ft.finetune(resume="../first", epochs=3, trust_code=True)
        except ft.FtError as error:
            found.append(error)

    thread = threading.Thread(target=resume)
    thread.start()
    thread.join()
    assert "os.chdir there first, or use the main thread" in str(found)


class InterruptsAfter:
    """A stdout that sends a signal to this process when a line begins so."""

    def __init__(self, begins: str, number: signal.Signals) -> None:
        self.begins, self.number = begins, number

    def write(self, text: str) -> int:
        if text.startswith(self.begins):
            os.kill(os.getpid(), self.number)
        return len(text)

    def flush(self) -> None:
        pass


def test_ctrl_c_saves_the_state_and_is_a_keyboard_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {**KEYS, "epochs": 3}
    whole = ft.finetune(**keys, run_dir="whole")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", InterruptsAfter("epoch 1/3", signal.SIGINT))
        with pytest.raises(KeyboardInterrupt) as stopped:
            ft.finetune(**keys, run_dir="stopped", verbose=True)
    said = "stopped by SIGINT; its state is saved. Continue with: ft.finetune(resume='stopped')"
    assert str(stopped.value) == said
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert same(ft.finetune(resume="stopped", trust_code=True).path, whole.path)


def test_another_signal_is_given_to_whoever_handles_it(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bool] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(Path("stopped/last.pt").exists()))
    try:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", InterruptsAfter("epoch 1/2", signal.SIGTERM))
            with pytest.raises(KeyboardInterrupt):
                ft.finetune(**KEYS, run_dir="stopped", verbose=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert got == [True]


def test_while_a_thread_trains_no_other_trains_or_plans() -> None:
    with one_run_at_a_time():
        for each in (ft.plan, ft.finetune):
            with pytest.raises(ft.FtError, match="another run is going on in this process"):
                each(**KEYS)


class Trains(threading.Thread):
    """A thread that trains, and what it came to."""

    def run(self) -> None:
        with warnings.catch_warnings(action="ignore", category=ft.FtWarning):
            self.came_to = ft.finetune(**KEYS, freeze="all", mixup=0.2, head={"use": "mlp", "hidden": [8]}, run_dir="b")


def test_training_in_a_thread_and_predicting_meanwhile_change_nothing_for_each_other() -> None:
    alone = Trains()
    alone.run()
    images = torch.randint(256, (5, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = alone.came_to.load(trust_code=True)
    path = alone.came_to.path.rename("alone")
    expected, features = model.predict(images), model.embed(images)
    beside = Trains()
    beside.start()
    asked = 0
    while beside.is_alive() or not asked:
        another = ft.load(path, trust_code=True)
        assert another.predict(images) == expected
        assert torch.equal(another.embed(images), features)
        assert another.module(images).shape == (5, 4)
        asked += 1
    beside.join()
    assert same(beside.came_to.path, path)
    assert beside.came_to.report.plan_digest == alone.came_to.report.plan_digest


def test_the_functions_stay_where_modules_of_their_names_are_imported() -> None:
    for name in ("finetune", "plan"):
        setattr(front(), name, importlib.import_module(f"ft.{name}"))  # as Python does when it imports a module
        assert getattr(front(), name).__module__ == "ft.front"
    assert {"plan", "finetune", "load"} <= set(dir(ft))
    with pytest.raises(AttributeError, match="module 'ft' has no attribute 'trian'"):
        _ = front().trian


def test_all_folds_in_python_are_those_of_the_command(ft: Callable[..., Result]) -> None:
    with warnings.catch_warnings(action="ignore", category=front().FtWarning):
        folds = front().cross_validate(**KEYS, freeze="all", folds=2, run_dir="p")
    printed = ft("run", *FLAGS, "--freeze", "all", "--folds", "2", "--run-dir", "c").stdout
    assert str(folds).split() == printed[printed.index("validation, each") :].replace("c/fold", "p/fold").split()
    assert folds.val["accuracy"].values == tuple(figures(run)["accuracy"] for run in folds.runs)
    assert front().load(folds.runs[1], trust_code=True).classes == ("circle", "cross", "square", "triangle")
    assert front().cross_validate(resume=folds.path, trust_code=True).val == folds.val


def figures(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "report.json").read_text())["val"]
    return found


@pytest.mark.parametrize(
    ("call", "keys", "message"),
    [
        ("finetune", {"folds": 3}, r"which fold\? Write fold=1 to fold=3, or run all with ft\.cross_validate"),
        ("finetune", {"folds": 3, "fold": 4}, "there is no fold 4 of 3"),
        ("cross_validate", {}, r"how many folds\? Write folds=5"),
        ("cross_validate", {"folds": 3, "fold": 1}, "leave out fold; one alone is run by ft.finetune"),
        ("cross_validate", {"resume": "r"}, "leave out the config and its keys"),
    ],
)
def test_one_fold_and_all_folds_are_told_apart(call: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(front().FtError, match=message):
        getattr(front(), call)(**KEYS, **keys)
