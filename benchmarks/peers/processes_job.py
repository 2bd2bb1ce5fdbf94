"""The images, the network and what trains of it, that the peers of benchmarks/processes.py share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

BATCH = 64
PARTS = {"head": ("fc.",), "last": ("layer4.", "fc."), "all": ("",)}


def images() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(1024, 3, 64, 64, generator=draw), torch.randint(4, (1024,), generator=draw)


def network(trains: str) -> nn.Module:
    torch.manual_seed(0)
    net = resnet18(num_classes=4).to(memory_format=torch.channels_last)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith(PARTS[trains]))
    return net


def set_modes(net: nn.Module, trains: str) -> None:
    """Layers that do not train keep their statistics."""
    net.train()
    for name, layer in net.named_modules():
        if isinstance(layer, nn.BatchNorm2d) and not name.startswith(PARTS[trains]):
            layer.eval()
