from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.machine.randomness import drawing_from, one_run_at_a_time, random_state_kept, seeded


def draw() -> tuple[float, float, float]:
    return torch.rand(1).item(), random.random(), float(np.random.rand())


@pytest.mark.parametrize("block", [seeded, drawing_from])
def test_every_generator_follows_from_the_seed(block: Callable[[int], Any]) -> None:
    found = []
    for seed in (1, 1, 2, 2**63 - 1):
        with block(seed):
            found.append(draw())
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(found[1], found[2], strict=True))


def test_where_only_torch_draws_only_its_generator_is_seeded() -> None:
    with seeded(7):
        _, python, numpy = draw()
    with seeded(5):
        expected, *_ = draw()
    with seeded(7), drawing_from(5, torch_only=True):
        assert draw() == (expected, python, numpy)


@pytest.mark.parametrize("torch_only", [True, False])
def test_the_generator_of_a_second_gpu_follows_from_the_seed(torch_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = {"cuda:0": 0, "cuda:1": 0}
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: gpus.update({"cuda:0": seed}))  # the current one
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: gpus.update(dict.fromkeys(gpus, seed)))
    with seeded(0), drawing_from(5, "cuda:1", torch_only):
        assert gpus["cuda:1"] == 5


def test_after_a_seeded_block_and_after_a_run_generators_are_as_they_were() -> None:
    with seeded(7):
        expected = draw()
    for block in (seeded(3), one_run_at_a_time()):
        with seeded(7):
            with block:
                draw()
            assert draw() == expected


def test_a_thread_that_builds_a_network_changes_nothing_for_one_that_trains() -> None:
    with seeded(5):
        expected = draw()
    inside, done = threading.Event(), threading.Event()

    def build() -> None:
        inside.wait()
        with seeded(1):
            nn.Linear(4, 4)
        done.set()

    thread = threading.Thread(target=build)
    thread.start()
    with drawing_from(5):
        inside.set()
        assert not done.wait(0.05)
        assert draw() == expected
    thread.join()


def test_a_thread_that_looks_at_the_state_sees_nothing_of_one_that_builds_a_network() -> None:
    inside, done = threading.Event(), threading.Event()

    def build() -> None:
        inside.wait()
        with seeded(1):
            draw()
        done.set()

    thread = threading.Thread(target=build)
    thread.start()
    with random_state_kept():
        before = torch.get_rng_state()
        inside.set()
        assert not done.wait(0.05)
        assert torch.equal(torch.get_rng_state(), before)
    thread.join()


def _seed_in_a_child() -> None:
    with seeded(1):
        draw()


def test_a_process_that_starts_while_another_thread_draws_can_draw() -> None:
    started, end = threading.Event(), threading.Event()

    def hold() -> None:
        with drawing_from(1):
            started.set()
            end.wait(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    started.wait()
    child = multiprocessing.get_context("fork").Process(target=_seed_in_a_child)
    child.start()
    end.set()
    child.join(10)
    thread.join()
    assert child.exitcode == 0


def test_a_second_run_in_the_same_process_is_refused(tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    with one_run_at_a_time(), pytest.raises(FtError, match=r"another run is going on in this process.*of its own"):
        finetune(tiny_config(), plugins, Display())
    finetune(tiny_config(training__epochs=1), plugins, Display())
