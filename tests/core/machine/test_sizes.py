from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import prepare
from ft.machine.display import Display
from ft.machine.sizes import machine_memory, within_memory


def test_a_network_within_memory_is_built_as_ever() -> None:
    torch.manual_seed(0)
    free = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Conv2d(1, 2, 3))
    torch.manual_seed(0)
    with within_memory("it"):
        counted = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Conv2d(1, 2, 3))
    assert all(torch.equal(a, b) for a, b in zip(free.parameters(), counted.parameters(), strict=True))
    assert machine_memory() > 10**8


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(512, 10**12),
        lambda: nn.Linear(10**15, 10**30),
        lambda: nn.Sequential(*(nn.Linear(1000, 1000) for _ in range(3))),
        lambda: torch.zeros((10**9,)),
        lambda: torch.empty(size=[10**9], dtype=torch.float64, device="meta"),
        lambda: torch.randn(10**5, 10**5),
    ],
)
def test_what_takes_too_much_is_refused_before_it_is_made(build: Callable[[], object]) -> None:
    with (
        pytest.raises(FtError, match=r"it would take .* and more, and this machine has 10\.0 MB"),
        within_memory("it", 10**7),
    ):
        build()


@pytest.mark.parametrize("hidden", [[10**12], [10**30], [10**5] * 300])
def test_a_head_of_absurd_size_is_refused(
    hidden: list[int], tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    config: Any = tiny_config(head={"use": "mlp", "hidden": hidden})
    with pytest.raises(FtError, match=r"head builder 'mlp' .* would take .*give it smaller settings"):
        prepare(config, plugins, Display())
