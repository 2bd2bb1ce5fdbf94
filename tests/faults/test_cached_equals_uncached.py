"""Ten networks, five freezes, with views and without: a cached run that was stopped equals a plain one in every bit."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from faults.repetitions import FULL
from finished_runs import FinishedRun
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from signal_at_progress import SignalAtProgress

NETWORKS = (
    *("resnet18", "vgg11_bn", "mobilenet_v2", "shufflenet_v2_x0_5", "squeezenet1_1", "densenet121", "mnasnet0_5"),
    *("googlenet", "swin_t", "regnet_x_400mf", "convnext_tiny"),
)
FREEZES = ("all", "depth:1", "depth:60%", "depth:-1", "type:conv")
VIEWS = (None, 2)
ALL = list(product(NETWORKS, FREEZES, VIEWS))
QUICK = [("squeezenet1_1", "type:conv", 2)]


@pytest.mark.parametrize(("network", "freeze", "views"), ALL if FULL else QUICK, ids=str)
def test_a_cached_run_that_was_stopped_equals_a_plain_one(
    network: str,
    freeze: str,
    views: int | None,
    plugins: Plugins,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))

    def config(name: str, cache: str) -> Config:
        tree: dict[str, Any] = {
            "backbone": f"torchvision:{network}",
            "weights": "none",
            "data": {"use": "demo", "images_per_class": 4, "size": 32},
            "freeze": [freeze],
            "images": {"size": 64, "augment": "standard" if views else "none", "views": views},
            "machine": {"precision": "fp32", "device": "cpu", "workers": 0},
            "training": {"epochs": 2 * (views or 1), "batch_size": 8, "optimizer": "sgd"},
            "cache": {"promise": cache},
            "run_dir": tmp_path / name,
        }
        return load_config(flags=tree)

    plain = FinishedRun(config("plain", "off"), plugins)
    last = 2 * (views or 1)
    with pytest.raises(StopAsked):
        finetune(config("cached", "exact"), plugins, SignalAtProgress(f"epoch {last}/{last}", 2 * (last - 1) + 1))
    run = Run(tmp_path / "cached")
    _, report = finetune(run.config(trust_code=True), plugins, Display(), run)
    weights = load_file(run.path / "model.safetensors")
    different = [name for name, tensor in plain.weights.items() if not torch.equal(tensor, weights[name])]

    assert not different
    assert report.cache.promise == "exact", report.cache.reason
    # Of all, some freeze so little from the input on that only decoded images are worth keeping.
    assert FULL or report.cache.ceiling > 1, report.cache.reason
    assert "after all" not in capsys.readouterr().err, report.cache.reason  # the proof held
