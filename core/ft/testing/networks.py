"""Two networks of a few thousand parameters, built as the large ones are, to try strategies on; and new heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ft.extension.records import Backbone, Stage

if TYPE_CHECKING:
    import torch
    from torch import nn


def tiny_backbones() -> dict[str, Backbone]:
    """Return fresh backbones by name, with the same values each time. Images: [N, 3, H, W], H and W at least 32.

    "residual" has ResNet's names (conv1, bn1, layer1 to layer4, fc), "plain" has VGG's (features, classifier). torch's
    generator is left as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {"residual": _residual(), "plain": _plain()}


def put_heads(backbone: Backbone, classes: int) -> None:
    """Replace the classifiers of a backbone by linear ones for so many classes, as a run does."""
    from torch import nn

    dim = backbone.feature_dim
    main: nn.Module = nn.Linear(dim, classes)
    if backbone.head_form == "map":
        pooled = backbone.pooled_after is not None
        main = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), main) if pooled else nn.Conv2d(dim, classes, 1)
        for path in backbone.pooled_after or ():
            backbone.module.set_submodule(path, nn.Identity())
    heads = (main, *(nn.Linear(dim, classes) for dim in backbone.aux_dims))
    for path, head in zip(backbone.head_paths, heads, strict=True):
        backbone.module.set_submodule(path, head)


def tiny_batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Two batches of images [4, 3, 32, 32] and labels [4], the same each time."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 3, 32, 32, generator=generator), torch.arange(4)) for _ in range(2)]


def _residual() -> Backbone:
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int, next_width: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(width, next_width, 3, stride=2, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(next_width)
            self.relu = nn.ReLU()
            self.downsample = nn.Conv2d(width, next_width, 1, stride=2)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.relu(self.bn1(self.conv1(x)) + self.downsample(x))

    net = _named(
        conv1=nn.Conv2d(3, 4, 3, padding=1, bias=False),
        bn1=nn.BatchNorm2d(4),
        relu=nn.ReLU(),
        **{f"layer{i}": nn.Sequential(Block(2 + 2 * i, 4 + 2 * i)) for i in range(1, 5)},
        pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        fc=nn.Linear(12, 10),
    )
    stages = (Stage("stem", ("conv1", "bn1")), *(Stage(f"layer{i}", (f"layer{i}",)) for i in range(1, 5)))
    return Backbone(net, head_paths=("fc",), stages=stages, feature_dim=12, min_image_size=32, name="residual")


def _plain() -> Backbone:
    from torch import nn

    features = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
    )
    net = _named(
        features=features,
        pool=nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        classifier=nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10)),
    )
    stages = (
        Stage("block1", ("features.0",)),
        Stage("block2", ("features.3",)),
        Stage("classifier", ("classifier.0",)),
    )
    return Backbone(net, head_paths=("classifier.3",), stages=stages, feature_dim=16, min_image_size=32, name="plain")


def _named(**layers: nn.Module) -> nn.Module:
    """The layers one after the other, each under its name."""
    from collections import OrderedDict

    from torch import nn

    return nn.Sequential(OrderedDict(layers))
