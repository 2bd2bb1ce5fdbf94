"""When memory runs out: what is said, and computing a batch in parts."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from backbones import Small, small
from ft import Backbone, BackboneProvider
from ft.config.schema import Config
from ft.config.training import TrainingConfig
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.machine.memory import (
    arrange_large_blocks,
    explained_shortage,
    free_memory,
    garbage_waits,
    give_back_freed_memory,
    is_out_of_memory,
)
from ft.training.blending import Blend
from ft.training.loss_scale import LossScale
from ft.training.step import Batch, Learning, learn, moving_buffers
from ft_tasks.cross_entropy import CrossEntropy
from ft_tasks.multilabel import UNKNOWN
from ft_tasks.multilabel_loss import BinaryCrossEntropy
from ft_tasks.regression_loss import DeviationLoss
from steps import alone

MOST = 3
"""Images that the network below has memory for."""


class Hungry(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > MOST and torch.is_grad_enabled():
            self.stem[1].running_mean.add_(1)  # the layers before the one that fails have moved their statistics
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        return super().forward(images)


def build(model_name: str, settings: Any) -> Backbone:
    backbone = small()
    backbone.module.__class__ = Hungry
    return backbone


def models(settings: Any) -> Sequence[str]:
    return ["small"]


Provider = BackboneProvider("hungry", "A network that has no memory", models=models, build=build)


def gradients(parts: int, criterion: Any, fails_above: int = 99, auto: bool = True, **blends: float) -> tuple[Any, ...]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    inputs, labels = torch.randn(13, 3, 4, 4).double(), torch.randint(3, (13,))
    if not isinstance(criterion, CrossEntropy):
        labels = torch.randint(2, (13, 3)).float()
    if isinstance(criterion, BinaryCrossEntropy):
        labels[::2, 0] = labels[:6] = UNKNOWN  # of a part that is computed by itself nothing may be known

    def forward(images: torch.Tensor, blend: Blend) -> torch.Tensor:
        assert (blend.share < 1.0) == bool(blends)
        if len(images) > fails_above:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has ...")
        return cast(torch.Tensor, module(blend.of(images)))

    feed = cast(Any, SimpleNamespace(forward=forward, torch_only=True))
    training = TrainingConfig(batch_size=13, auto_batch=auto, **blends)
    machine = Machine("cpu", "fp32", channels_last=False)
    how = (0.0, training, machine, moving_buffers(module, ()), LossScale(machine))
    learning = Learning(module, alone(module, feed, training), criterion, *how, side=4)
    loss, answers, used = learn(Batch.of_one_process(inputs, labels, 1), parts, learning)
    hits = sum(
        int((outputs.argmax(1) == targets.reshape(len(targets), -1)[:, 0]).sum()) for outputs, targets in answers
    )
    return loss, hits, used, [parameter.grad for parameter in module.parameters()]


@pytest.mark.parametrize("parts", [2, 3, 6])
@pytest.mark.parametrize(
    "criterion",
    [
        CrossEntropy(None, 0.0),
        CrossEntropy(torch.tensor([0.2, 1.0, 3.0]), 0.1),
        BinaryCrossEntropy(torch.tensor([0.2, 1.0, 3.0])),
        DeviationLoss(delta=0.3),
    ],
    ids=["plain", "weighted and smoothed", "labels of which some are unknown", "numbers"],
)
@pytest.mark.parametrize("blends", [{}, {"mixup": 0.5}, {"cutmix": 1.0}], ids=str)
def test_parts_add_up_to_the_batch(parts: int, criterion: Any, blends: dict[str, float]) -> None:
    loss, hits, _, whole = gradients(1, criterion, **blends)
    loss_in_parts, hits_in_parts, used, in_parts = gradients(parts, criterion, **blends)
    assert (hits_in_parts, used) == (hits, parts)
    assert loss_in_parts == pytest.approx(loss, rel=1e-6)
    for ours, theirs in zip(in_parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_an_attempt_that_failed_leaves_nothing_in_the_gradients() -> None:
    *_, parts, grads = gradients(1, CrossEntropy(None, 0.0), fails_above=4)
    *_, expected = gradients(4, CrossEntropy(None, 0.0))
    assert parts == 4
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(grads, expected, strict=True))


def test_parts_of_a_batch_of_which_nothing_is_known_teach_nothing() -> None:
    class Ignorant(BinaryCrossEntropy):
        def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return super().__call__(outputs, torch.full_like(targets, UNKNOWN))

        def weight(self, targets: torch.Tensor) -> float:
            return super().weight(torch.full_like(targets, UNKNOWN))

    loss, _, parts, grads = gradients(3, Ignorant())
    assert (loss, parts) == (0, 3)
    assert not any(grad.any() for grad in grads)


def test_without_auto_batch_the_size_that_fits_is_named() -> None:
    with pytest.raises(FtError, match=r"in a step of 13 images; 3 fit: use --batch-size 3, or --auto-batch, .* of 13"):
        gradients(1, CrossEntropy(None, 0.0), fails_above=4, auto=False)


def test_what_never_fits_is_said() -> None:
    with pytest.raises(FtError, match=r"even with the smallest batches: CUDA out of memory.*--image-size"):
        gradients(1, CrossEntropy(None, 0.0), fails_above=1)


def test_no_part_has_a_single_image() -> None:
    for number in range(1, 40):
        for parts in range(1, 40):
            split = [
                labels
                for _, labels, _ in Batch.of_one_process(torch.zeros(number, 1), torch.arange(number), 0).split(parts)
            ]
            assert sorted(torch.cat(split).tolist()) == list(range(number))
            assert min(map(len, split)) > 1 or number == 1
            assert len(split) == min(parts, max(1, number // 2))
            assert all(torch.equal(labels.flip(0), number - 1 - labels) for labels in split)


def test_a_run_goes_on_in_parts_and_keeps_its_steps(
    tiny_config: Callable[..., Config], plugins: Plugins, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(backbone=f"{__file__}:Provider:small", training__batch_size=8, training__auto_batch=True)
    run, report = finetune(config, plugins, Display())
    assert "8 images are computed in 4 parts" in capsys.readouterr().err
    saved = torch.load(run.path / "last.pt", weights_only=True)
    assert (saved["position"]["parts"], report.epochs) == (4, 2)
    assert float(saved["tensors"]["stem.1.running_mean"].abs().max()) < 0.5, "a failed attempt's statistics stayed"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")])
def test_a_shortage_elsewhere_is_told_in_words(error: Exception) -> None:
    with pytest.raises(FtError, match=r"memory ran out: M.*\. Try less"), explained_shortage("Try less"):
        raise error


def test_other_errors_are_not_taken_for_a_shortage() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"), explained_shortage(""):
        raise RuntimeError("shapes do not match")


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc does with freed memory")
def test_freed_memory_is_given_back_although_small_things_lie_between() -> None:
    small = []
    large = []
    for _ in range(1500):
        large.append(bytearray(100_000))
        small.append(bytearray(600))
    before = resident_mb()
    large.clear()
    give_back_freed_memory()
    assert resident_mb() < before - 100
    assert len(small) == 1500


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc does with freed memory")
def test_large_blocks_are_kept_where_there_is_memory_for_that() -> None:
    program = """
import resource
from ft.machine import memory

def pages_that_came(blocks):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        bytes([7]) * (64 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for gigabytes in (7, 8):
    memory.free_memory = lambda: gigabytes * 2**30
    memory.arrange_large_blocks()
    pages_that_came(1)
    print(pages_that_came(4))
memory.return_large_blocks()
print(pages_that_came(4))
"""
    run = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    returned, kept, returned_again = map(int, run.stdout.split())
    assert kept < min(returned, returned_again) / 4


@pytest.mark.parametrize(
    ("available", "allowed", "free"),
    [
        ("MemFree: 1 kB\nMemAvailable:   3000 kB\n", None, 3_072_000),
        ("MemAvailable: 3000 kB\n", "max\n", 3_072_000),
        ("MemAvailable: 3000 kB\n", "2048\n", 2048),
        ("MemFree: 1 kB\n", "2048\n", 0),
        (None, None, 0),
    ],
)
def test_free_memory_is_what_the_system_says_and_a_container_allows(
    available: str | None, allowed: str | None, free: int, tmp_path: Path
) -> None:
    for number, limit in enumerate(["memory.max", "memory/memory.limit_in_bytes"]):
        root = tmp_path / str(number)
        for name, text in {"proc/meminfo": available, f"sys/fs/cgroup/{limit}": allowed}.items():
            (root / name).parent.mkdir(parents=True)
            if text is not None:
                (root / name).write_text(text)
        assert free_memory(root) == free


@pytest.mark.parametrize(("before", "read"), [(None, ["1"]), ("0", [])])
def test_large_tensors_come_in_large_pages_unless_someone_says_otherwise(
    before: str | None, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    monkeypatch.setattr(torch, "empty", lambda size: seen.append(os.environ.get("THP_MEM_ALLOC_ENABLE")))
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", before or "")
    if before is None:
        monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    arrange_large_blocks()
    assert seen == read
    assert os.environ.get("THP_MEM_ALLOC_ENABLE") == before


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: None) -> None:
        raise OSError("no such library")

    monkeypatch.setattr("ctypes.CDLL", none)
    arrange_large_blocks()
    give_back_freed_memory()


def test_garbage_is_searched_for_again_after_a_block_in_which_it_waits() -> None:
    found = []

    def fail() -> None:
        with garbage_waits():
            with garbage_waits():
                found.append(gc.isenabled())
            found.append(gc.isenabled())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [*found, gc.isenabled()] == [False, False, True]
