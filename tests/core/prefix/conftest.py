"""Small networks with random weights, prepared as they train."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.resnet import BasicBlock, ResNet

CLASSES = 5


def _efficientnet() -> nn.Module:
    setting = [MBConvConfig(*row, 1.0, 1.0) for row in ((1, 3, 1, 16, 8, 1), (4, 3, 2, 8, 16, 2), (4, 5, 2, 16, 24, 2))]
    return EfficientNet(setting, dropout=0.2, stochastic_depth_prob=0.3, num_classes=CLASSES)


def _mobilenet() -> nn.Module:
    rows = ((16, 3, 16, 16, True, "RE", 2, 1), (16, 3, 48, 24, False, "RE", 2, 1), (24, 5, 64, 24, True, "HS", 1, 1))
    return MobileNetV3([InvertedResidualConfig(*row, 1.0) for row in rows], 32, num_classes=CLASSES)


def _alexnet() -> nn.Module:
    with torch.device("meta"):  # its own classifier has 55 million weights
        net = models.AlexNet()
        net.avgpool = nn.AdaptiveAvgPool2d(1)
        layers = [nn.Dropout(), nn.Linear(256, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 16), nn.ReLU(True)]
        net.classifier = nn.Sequential(*layers, nn.Linear(16, CLASSES))
    net.to_empty(device="cpu")
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.05)
    return net


BUILDERS: dict[str, tuple[int, tuple[str, ...], Callable[[], nn.Module]]] = {
    "alexnet": (64, ("classifier.6",), _alexnet),
    "convnext": (
        32,
        ("classifier.2",),
        lambda: models.ConvNeXt(
            [models.convnext.CNBlockConfig(8, 16, 2), models.convnext.CNBlockConfig(16, None, 2)],
            stochastic_depth_prob=0.3,
            num_classes=CLASSES,
        ),
    ),
    "densenet": (32, ("classifier",), lambda: models.DenseNet(8, (2, 3, 2), 16, num_classes=CLASSES)),
    "efficientnet": (32, ("classifier.1",), _efficientnet),
    "googlenet": (
        32,
        ("fc", "aux1.fc2", "aux2.fc2"),
        lambda: models.GoogLeNet(num_classes=CLASSES, aux_logits=True, init_weights=False),
    ),
    "maxvit": (
        64,
        ("classifier.5",),
        lambda: models.MaxVit(
            (64, 64), 8, 4, [8, 16], [1, 1], head_dim=8, stochastic_depth_prob=0.2, num_classes=CLASSES
        ),
    ),
    "mobilenet_v3": (32, ("classifier.3",), _mobilenet),
    "regnet": (
        32,
        ("fc",),
        lambda: models.RegNet(
            models.regnet.BlockParams([1, 2], [16, 24], [8, 8], [2, 2], [1, 1], se_ratio=0.25), num_classes=CLASSES
        ),
    ),
    "resnet": (32, ("fc",), lambda: ResNet(BasicBlock, [1, 2, 1, 1], num_classes=CLASSES)),
    "shufflenet": (
        32,
        ("fc",),
        lambda: models.ShuffleNetV2([2, 3, 2], [8, 16, 32, 64, 64], num_classes=CLASSES),
    ),
    "squeezenet": (64, ("classifier.1",), lambda: models.squeezenet1_1(num_classes=CLASSES)),
    "swin": (
        32,
        ("head",),
        lambda: models.SwinTransformer([2, 2], 16, [2, 2], [2, 2], [4, 4], 2.0, num_classes=CLASSES),
    ),
    "vit": (32, ("heads.head",), lambda: models.VisionTransformer(32, 16, 3, 2, 32, 64, num_classes=CLASSES)),
}


@dataclass(frozen=True)
class Prepared:
    """A module in the modes it trains in, and what is frozen of it."""

    module: nn.Module
    frozen: frozenset[str]
    size: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)

    def images(self, number: int = 4) -> torch.Tensor:
        return torch.randn(number, *self.shape, generator=torch.Generator().manual_seed(1))


def freeze(module: nn.Module, frozen: frozenset[str]) -> None:
    """What ft does to a module: no gradients, and eval mode inside modules all of whose parameters are frozen."""
    module.train()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for path, inner in module.named_modules():
        names = [f"{path}.{name}" for name, _ in inner.named_parameters()]
        if path and names and frozen.issuperset(names):
            inner.eval()


def _norm_parameters(module: nn.Module) -> frozenset[str]:
    return frozenset(
        f"{path}.{name}"
        for path, inner in module.named_modules()
        if "Norm" in type(inner).__name__
        for name, _ in inner.named_parameters(recurse=False)
    )


def _chosen(module: nn.Module, heads: tuple[str, ...], freezing: str) -> frozenset[str]:
    names = [n for n, _ in module.named_parameters() if not n.startswith(tuple(f"{head}." for head in heads))]
    norms = _norm_parameters(module)
    return frozenset(
        {
            "all": names,
            "first half": names[: len(names) // 2],
            "all but the end": names[: len(names) * 4 // 5],
            "only norms": [name for name in names if name in norms],
            "all but norms": [name for name in names if name not in norms],
        }[freezing]
    )


@pytest.fixture
def prepare() -> Iterator[Callable[..., Prepared]]:
    """`prepare(network, freezing)`: a small network with random weights and statistics, frozen."""

    def prepared(network: str, freezing: str = "all") -> Prepared:
        torch.manual_seed(0)
        size, heads, build = BUILDERS[network]
        module = build()
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        frozen = _chosen(module, heads, freezing)
        freeze(module, frozen)
        return Prepared(module, frozen, size)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield prepared
    torch.set_num_threads(threads)
