"""Builds an EfficientNet-Lite from the package `efficientnet_lite_pytorch`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ft import Backbone, Stage
from ft_efficientnet_lite.published import weights


def build(model_name: str, settings: Any) -> Backbone:
    """Build `model_name` with random weights. Raises FtError for an unknown name.

    Its convolutions pad as TensorFlow's "SAME" does for images of the published size, by numbers fixed here; this
    lets the network be traced.
    """
    entry = weights(model_name)[0]
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]  # it ships no types

    module = EfficientNet.from_name(f"efficientnet-{model_name}")
    return Backbone(
        module=module,
        head_paths=("_fc",),
        stages=(
            Stage("stem", ("_conv_stem", "_bn0")),
            *_block_stages(module),
            Stage("conv_head", ("_conv_head", "_bn1")),
        ),
        feature_dim=module._fc.in_features,
        preprocessing=entry.preprocessing,
        min_image_size=32,  # the network's stride; lite0 fails on less
    )


def _block_stages(module: Any) -> Iterator[Stage]:
    """A stage for each row of the architecture's table (Tan & Le 2019, table 1): a block and its repetitions."""
    blocks = iter(range(len(module._blocks)))
    for number, first in enumerate(blocks, 1):
        repeats = module._blocks[first]._block_args.num_repeat
        yield Stage(f"stage{number}", tuple(f"_blocks.{i}" for i in (first, *islice(blocks, repeats - 1))))
