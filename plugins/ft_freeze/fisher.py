"""`fisher:2`: the two stages that matter most for these images train, and the rest of the backbone is frozen.

What a stage matters is the mean over its parameters of the empirical Fisher information, E[(d log p(y|x) / d w)^2],
with the true label y, the task's loss being -log p: how much a small change of the parameter changes what the network
says. Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting", section 2, weigh parameters by its diagonal; Sung
et al. 2021, "Training neural networks with fixed sparse masks", section 3, choose by it what trains. A mean, so that
large stages have no advantage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import Field

from ft import Backbone, FtError, Loss, Settings

if TYPE_CHECKING:
    from torch import Tensor

Batches = Iterable[tuple["Tensor", "Tensor"]]


class FisherSettings(Settings):
    images: int = Field(64, ge=1, description="number of training images whose gradients are computed")


def select(
    backbone: Backbone, argument: str | None, settings: FisherSettings, batches: Batches, loss: Loss
) -> frozenset[str]:
    """One backward pass an image, in eval mode, through the new head as it was drawn.

    Raises FtError for a number that is none or out of range, and where no gradient, or no finite one, comes through.
    """
    total = len(backbone.stages)
    if not argument or not argument.isdecimal() or not 1 <= int(argument) < total:
        raise FtError(f"fisher needs the number of stages that train, 1 to {total - 1} of {backbone}, as in 'fisher:1'")
    scores = stage_scores(backbone, islice(_one_by_one(batches), settings.images), loss)
    if not math.isfinite(sum(scores)):
        raise FtError(f"gradients of {backbone} are no finite numbers on these images; are its weights in order?")
    if not any(scores):
        raise FtError(f"no gradient reaches {backbone} through the head; a head that starts from zero stops them all")
    best = sorted(range(total), key=lambda index: (-scores[index], -index))[: int(argument)]
    frozen = [path for index, stage in enumerate(backbone.stages) if index not in best for path in stage.paths]
    return frozenset(backbone.parameters_under(*frozen))


def stage_scores(backbone: Backbone, images: Iterable[tuple[Tensor, Tensor]], loss: Loss) -> list[float]:
    """The mean empirical Fisher information of each stage's parameters, over `images` [1, 3, S, S] with targets
    [1, ...]."""
    import torch

    named = {name: backbone.module.get_parameter(name) for name in backbone.parameter_names()}
    stages = [backbone.parameters_under(*stage.paths) for stage in backbone.stages]
    sums, seen = [0.0] * len(stages), 0
    for image, target in images:
        seen += 1
        with torch.enable_grad():
            value = loss(backbone.module(image).float(), target)
        found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
        gradients = dict(zip(named, found, strict=True))
        for index, names in enumerate(stages):
            squares = [g.square().sum() for name in names if (g := gradients[name]) is not None]
            sums[index] += float(torch.stack(squares).sum()) if squares else 0.0
    counts = [sum(named[name].numel() for name in names) for names in stages]
    return [total / count / seen if count else 0.0 for total, count in zip(sums, counts, strict=True)]


def _one_by_one(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """Squares of single images' gradients are wanted, and a batch's gradient is their mean."""
    for images, targets in batches:
        yield from ((images[i : i + 1], targets[i : i + 1]) for i in range(len(targets)))
