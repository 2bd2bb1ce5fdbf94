"""Shares images out to folds, of each kind of image a share in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from ft.data.load import ImageData, Item
from ft.data.whole_groups import deal, share_out


def even_folds(data: ImageData, items: Sequence[Item], strata: Sequence[Hashable], folds: int) -> Tensor:
    """The fold of each image [N], of so many, in which it is left out: of each stratum a share is in each. A group of
    the split stays whole, and so do files of equal content."""
    group = data.groups
    names = [item.picture.name for item in items]
    whole = [group[name] if name in group else data.digests[name] for name in names]
    if not group:
        dealt = deal(dict(zip(whole, strata, strict=True)), folds, 0)
        return torch.tensor([dealt[key] for key in whole])
    counted: dict[str, Counter[Hashable]] = {}
    for key, stratum in zip(whole, strata, strict=True):
        counted.setdefault(key, Counter())[stratum] += 1
    parts = share_out(counted, [1 / folds] * folds, 0)
    return torch.tensor([parts[key] for key in whole])
