"""How many augmented views of an image are replayed where nobody says it: by what they cost."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from ft.cache.decision import find_cut, unworthy
from ft.config.images import AUTO
from ft.config.schema import Config
from ft.data.load import ImageData
from ft.machine.devices import Machine
from ft.prefix.find import FrozenPrefix
from ft.prefix.records import Cut

CLEARLY = 2 / 3
"""Replaying is chosen where a run then computes no more than this share of what it computes with new views."""
FEWEST, MOST = 3, 8
"""Fewer views than that vary images too little, where there are more; more than that hardly vary them more."""


def choose_views(
    module: nn.Module, frozen: Collection[str], config: Config, machine: Machine, image_size: int, data: ImageData
) -> Config:
    """Return `config` with what `images.views: auto` comes to for `module`, in the modes that it will train in.

    Raises FtError when the config demands a promise that this precision cannot keep.
    """
    images, training = config.images, config.training
    if images.views != AUTO or images.chosen_views is not None:
        return config
    fewest, most = (min(bound, images.different or MOST) for bound in (FEWEST, MOST))

    def replaying(views: int) -> Config:
        return config.model_copy(update={"images": images.model_copy(update={"chosen_views": views})})

    too_few = training.passes < 2 * fewest and not training.fits_heads  # to see each view twice
    if too_few or not (images.varies and frozen) or config.cache.promise == "off":
        return replaying(0)
    found = find_cut(module, frozen, replaying(fewest), machine, image_size)
    if not isinstance(found, FrozenPrefix):
        return replaying(0)
    train, val, epochs = len(data.train), len(data.val), training.passes
    if training.solves:  # which sees all views at once, and none that is new
        return replaying(fewest)
    least = fewest if training.fits_heads else 0  # heads are fitted to nothing else than what is kept
    views = max(least, min(most, cheap_views(found.cut, train, val, epochs)))
    while views >= fewest and unworthy(found.cut, config, train * views + val):
        views -= 1
    return replaying(views if views >= fewest else 0)


def cheap_views(cut: Cut, train: int, val: int, epochs: int) -> int:
    """The most views of each image, each seen twice or more, with which a run of so many images and epochs is CLEARLY
    cheaper than with a new view in every epoch; 0 where there are none."""
    prefix, suffix = cut.prefix_flops, cut.suffix_flops
    learning = epochs * suffix * (3 * train + val)  # gradients cost twice the forward pass
    anew = epochs * prefix * (train + val) + learning
    affordable = (CLEARLY * anew - learning - prefix * val) / max(1, prefix * train)
    return max(0, min(int(affordable), epochs // 2))
