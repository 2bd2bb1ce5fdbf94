"""Tiny backbones that tests share. All are built by hand, so that no provider has to work for them."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from types import SimpleNamespace

import torch
from torch import nn

from ft import Backbone, Stage


class Small(nn.Module):
    """Three stages with BatchNorm, dropout and an attention-free classifier: [N, 3, H, W] to [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.layer1 = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5))
        self.layer2 = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8, affine=False), nn.ReLU())
        self.fc = nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layer2(self.layer1(self.stem(images * self.scale)))
        return self.fc(features.mean((2, 3)))


SMALL_NAMES = (
    "scale",
    "stem.0.weight",
    "stem.1.weight",
    "stem.1.bias",
    "layer1.0.weight",
    "layer1.0.bias",
    "layer1.1.weight",
    "layer1.1.bias",
    "layer2.0.weight",
    "layer2.0.bias",
)


def small() -> Backbone:
    return Backbone(
        Small(),
        head_paths=("fc",),
        stages=(Stage("stem", ("scale", "stem")), Stage("layer1", ("layer1",)), Stage("layer2", ("layer2",))),
        feature_dim=8,
        name="small",
    )


class WithAux(Small):
    """As Small, with an auxiliary classifier on layer1 that answers in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        early = self.layer1(self.stem(images * self.scale))
        logits = self.fc(self.layer2(early).mean((2, 3)))
        return (logits, self.aux(early.mean((2, 3)))) if self.training else logits


class HungrySecond(Small):
    """As Small, with memory for two images in a step of the second process of several."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if os.environ.get("RANK") == "1" and self.training and len(images) > 2 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return super().forward(images)


class Whitened(Small):
    """As Small, with statistics in layers without parameters: before, between and after all else, and in a list."""

    def __init__(self) -> None:
        super().__init__()
        del self.scale
        own = dict(self._modules)
        self._modules.clear()
        self.whiten = nn.BatchNorm2d(3, affine=False)
        self._modules.update(own)
        self.extra = nn.ModuleList([nn.InstanceNorm2d(8, track_running_stats=True)])
        self.last = nn.BatchNorm1d(8, affine=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.extra[0](self.layer2(self.layer1(self.stem(self.whiten(images)))))
        return self.fc(self.last(features.mean((2, 3))))


def whitened() -> Backbone:
    stages = (Stage("stem", ("stem",)), Stage("layer1", ("layer1",)), Stage("layer2", ("layer2",)))
    return replace(small(), module=Whitened(), stages=stages, name="whitened")


def with_aux() -> Backbone:
    return Backbone(
        WithAux(),
        head_paths=("fc", "aux.2"),
        stages=(
            Stage("stem", ("scale", "stem")),
            Stage("layer1", ("layer1",)),
            Stage("aux", ("aux",)),
            Stage("layer2", ("layer2",)),
        ),
        feature_dim=8,
        aux_dims=(5,),
        aux_loss_weight=0.3,
        name="with-aux",
    )


def positional(stride: int = 1) -> Backbone:
    """A network that classifies every position and pools afterwards, as SqueezeNet does."""
    features = nn.Sequential(nn.Conv2d(3, 8, 3, stride, padding=1), nn.ReLU())
    classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    module = nn.Sequential()
    module.add_module("features", features)
    module.add_module("classifier", classifier)
    module.add_module("flatten", nn.Flatten())
    return Backbone(
        module,
        head_paths=("classifier.1",),
        stages=(Stage("features", ("features",)),),
        feature_dim=8,
        head_form="map",
        name="positional",
    )


def narrowing() -> Backbone:
    """Maps get smaller with each stage, so what any of them gives is worth keeping."""
    layers = {
        "early": nn.Sequential(nn.Conv2d(3, 16, 5, stride=4), nn.BatchNorm2d(16), nn.ReLU()),
        "middle": nn.Sequential(nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        "late": nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(8, 10),
    }
    return Backbone(
        nn.Sequential(OrderedDict(layers)),
        head_paths=("fc",),
        stages=tuple(Stage(name, (name,)) for name in ("early", "middle", "late")),
        feature_dim=8,
        name="narrowing",
    )


def deep() -> Backbone:
    """As narrowing, with five stages of a layer each."""
    layers: dict[str, nn.Module] = {}
    for number, width in enumerate((3, 8, 8, 8, 8)):
        layers[f"stage{number}"] = nn.Sequential(
            nn.Conv2d(width, 8, 3, stride=2 if number < 2 else 1, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        )
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(8, 10)}
    return Backbone(
        nn.Sequential(OrderedDict(layers)),
        head_paths=("fc",),
        stages=tuple(Stage(f"stage{number}", (f"stage{number}",)) for number in range(5)),
        feature_dim=8,
        name="deep",
    )


class WithPooling(Small):
    """As Small, with a module that pools."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layer2(self.layer1(self.stem(images * self.scale)))
        return self.fc(self.pool(features).flatten(1))


def with_pooling() -> Backbone:
    return replace(small(), module=WithPooling(), pool_path="pool", name="with-pooling")


class Activated(Small):
    """As Small, with an activation that lies in no stage."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layer2(self.layer1(self.stem(images * self.scale)))
        return self.fc(self.activation(features - 0.1).mean((2, 3)))


def activated() -> Backbone:
    return replace(small(), module=Activated(), name="activated")


class Offset(Small):
    """As Small, but features have something in common that is large beside what tells images apart.

    How: a `constant` that is added, the `bias` of the last layer, a `channel` that is added to all others and taken
    away again, a `scale` and a sigmoid near 1, or nothing (`plain`).
    """

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        if how == "bias":
            self.layer2[1] = nn.Conv2d(8, 8, 1)
            with torch.no_grad():
                self.layer2[1].bias += 1000

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layer2(self.layer1(self.stem(images * self.scale))).mean((2, 3))
        if self.how == "constant":
            features = features + 1000
        elif self.how == "channel":
            features = torch.cat([features[:, :1] * 1e4, features[:, 1:] + 1000], 1)
        elif self.how == "saturated":
            features = torch.sigmoid(features + 8)
        return self.fc(features)


def offset(how: str) -> Backbone:
    return replace(small(), module=Offset(how), name=f"offset-{how}")


class TwoWays(Small):
    """As Small, but two tensors lead to the classifier, and one of them is hidden behind a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.mix2 = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layer2(self.layer1(self.stem(images * self.scale)))
        return self.fc(self.mix(features.mean((2, 3))) + self.mix2(features.amax((2, 3)) + 1000))


def two_ways() -> Backbone:
    return replace(small(), module=TwoWays(), stages=(*small().stages, Stage("mix", ("mix", "mix2"))), name="two-ways")


class Centred(Small):
    """As Small, but every image is seen beside the mean of its batch."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stem(images * self.scale)
        return self.fc(self.layer2(self.layer1(features - features.mean(0, keepdim=True))).mean((2, 3)))


def centred() -> Backbone:
    return replace(small(), module=Centred(), name="centred")


class Doubled(Small):
    """As Small, but a layer that keeps a tensor for each size of a batch serves the stem and the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = Twice()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layer2(self.layer1(self.twice(self.stem(images * self.scale))))
        return self.twice(self.fc(features.mean((2, 3)))[:, :, None, None]).flatten(1)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.twos: dict[int, torch.Tensor] = {}

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if len(features) not in self.twos:
            self.twos[len(features)] = torch.full((len(features), 1, 1, 1), 2.0)
        return features * self.twos[len(features)]


def doubled() -> Backbone:
    return replace(small(), module=Doubled(), name="doubled")


class Scaled(Small):
    """As Small, after a layer that nobody can look into asks an object of somebody's own what to do."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.scaling = Scaling(factor)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(self.scaling(images))


class Scaling(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.options = SimpleNamespace(factor=factor)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([images[:, colour] * self.options.factor for colour in range(images.shape[1])], 1)


def scaled(factor: float) -> Backbone:
    return replace(small(), module=Scaled(factor), name="scaled")


class Remembering(Small):
    """As Small, but from features goes what they were before: a state that is no buffer."""

    def __init__(self, before: torch.Tensor | None) -> None:
        super().__init__()
        self.before = before

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.layer2(self.layer1(self.stem(images * self.scale))).mean((2, 3))
        found = features.detach().mean(0)
        if self.before is None:
            self.before = found
            return self.fc(features)
        logits = self.fc(features - self.before)
        if self.training:
            self.before.lerp_(found, 0.5)
        return logits


def remembering(before: torch.Tensor | None) -> Backbone:
    return replace(small(), module=Remembering(before), name="remembering")


class Tapped(Small):
    """As Small, but the classifier takes features from a dictionary that a layer puts them into."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, torch.Tensor] = {}
        self.tap = Tap(self.seen)

    def forward(self, images: torch.Tensor, only_features: bool = False) -> torch.Tensor:
        self.tap(self.layer2(self.layer1(self.stem(images * self.scale))).mean((2, 3)))
        return self.seen["features"] if only_features else self.fc(self.seen["features"])


class Tap(nn.Module):
    def __init__(self, seen: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.seen["features"] = features
        return features


class CheckedTapped(Tapped):
    """As Tapped, but what cannot be traced."""

    def forward(self, images: torch.Tensor, only_features: bool = False) -> torch.Tensor:
        logits = super().forward(images, only_features)
        if not torch.isfinite(logits).all():
            raise FloatingPointError("these logits are not finite")
        return logits


class OnePixelMap(nn.Module):
    """What trains, and is no head, takes a map of one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.mix(self.pool(self.features(images))).flatten(1))


def one_pixel_map() -> Backbone:
    stages = (Stage("features", ("features",)), Stage("mix", ("mix",)))
    return Backbone(OnePixelMap(), head_paths=("fc",), stages=stages, feature_dim=8, name="one-pixel-map")


class Checked(WithPooling):
    """As WithPooling, but logits that are not finite are an error: what cannot be traced."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().forward(images)
        if not torch.isfinite(logits).all():
            raise FloatingPointError("these logits are not finite")
        return logits


class Chunked(Checked):
    """As Checked, eight images at a time."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([super(Chunked, self).forward(part) for part in images.split(8)])


class Uncopyable(Checked):
    """As Checked, with something inside that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()


def chunked() -> Backbone:
    return replace(with_pooling(), module=Chunked(), name="chunked")


def uncopyable() -> Backbone:
    return replace(with_pooling(), module=Uncopyable(), name="uncopyable")


def checked() -> Backbone:
    return replace(with_pooling(), module=Checked(), name="checked")


def mixed_classifier() -> Backbone:
    """A classifier of several layers, the last of them the head, as VGG has it; pooling lies between the stages."""
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU())
    classifier = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 10))
    module = nn.Sequential()
    module.add_module("features", features)
    module.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    module.add_module("classifier", classifier)
    return Backbone(
        module,
        head_paths=("classifier.3",),
        stages=(
            Stage("block1", ("features.0",)),
            Stage("block2", ("features.3",)),
            Stage("classifier", ("classifier",)),
        ),
        feature_dim=7,
        name="mixed",
    )


def resnet18() -> Backbone:
    """torchvision's resnet18 with shapes and no values (the meta device)."""
    from torchvision.models import resnet18 as build

    with torch.device("meta"):
        module = build(weights=None)
    stages = (Stage("stem", ("conv1", "bn1")), *(Stage(f"layer{i}", (f"layer{i}",)) for i in range(1, 5)))
    return Backbone(module, head_paths=("fc",), stages=stages, feature_dim=512, name="resnet18")
