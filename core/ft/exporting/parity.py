"""Whether a file gives what ft gives, and where it begins not to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ft.errors import NotGoodEnough
from ft.exporting.portable import Making
from ft.exporting.prepare import Compute
from ft.exporting.records import Parity
from ft.extension.exporters import Exporter
from ft.extension.installed import Chosen
from ft.extension.tasks import Answer
from ft.inference.load import Trained
from ft.inference.self_contained import SelfContained
from ft.inference.watching import watched

Outputs = NDArray[np.float32]
TOLERANCE = 1e-3
"""Of the largest output, or of 1 where that is less: how far an output in fp32 may be from ft's. Other programs add up
in another order, which in float32 comes to some millionths."""
Write = Callable[[Chosen[Exporter], Making, nn.Module | None, Path], Compute]


def compare(ours: Outputs, theirs: Outputs, trained: Trained) -> Parity:
    """Compare outputs [N, K] by ft and by another program."""
    largest = max(1.0, float(np.abs(ours).max()))
    apart = np.abs(ours - theirs)
    names = [_names(trained, outputs) for outputs in (ours, theirs)]
    if names[0] is None:  # an answer without names is equal where its numbers are
        equal = int((apart.max(1) <= TOLERANCE * largest).sum())
    else:
        equal = sum(one == other for one, other in zip(*names, strict=True))
    difference = float(apart.max()) if np.isfinite(theirs).all() else float("inf")
    return Parity(
        images=len(ours),
        largest_difference=min(difference, float(np.finfo(np.float32).max)),
        largest_output=largest,
        equal_answers=equal,
        tolerance=TOLERANCE * largest,
    )


def _names(trained: Trained, outputs: Outputs) -> list[Sequence[str]] | None:
    answers: Sequence[Answer] = trained.task.predict(torch.from_numpy(outputs), trained.space)
    found = [answer.folders() for answer in answers]
    return None if any(each is None for each in found) else [each for each in found if each is not None]


def check_batch(compute: Compute, output: str, image: NDArray[np.uint8], tolerance: float) -> None:
    """Raise NotGoodEnough where an image has another output in a batch of three than alone."""
    alone, together = (np.asarray(compute(np.stack([image] * many))[output]) for many in (1, 3))
    apart = float(np.abs(alone - together).max())
    if len(together) != 3 or not apart <= tolerance:
        raise NotGoodEnough(f"the exported file gives an image another answer in a batch than alone, by {apart:.3g}")


def refusal(parity: Parity, where: str, format_: str) -> NotGoodEnough:
    """What to raise where outputs are too far apart; `where` says in which layer that begins."""
    return NotGoodEnough(
        f"{format_} does not compute what ft does: outputs differ by up to {parity.largest_difference:.3g}, where "
        f"{parity.tolerance:.3g} is borne, and {parity.equal_answers} of {parity.images} answers are equal. {where}\n"
        "Nothing was written. Try another --format, and report it"
    )


def first_difference(making: Making, exporter: Chosen[Exporter], images: NDArray[np.uint8]) -> str:
    """Say in which layer a file begins to give something else than the network, found by halving: the network is
    exported up to a layer, and what that gives for images [N, H, W, 3] is compared."""
    whole = making.whole("fp32")
    layers = ["", *_layers(whole, images)]
    low, high = -1, len(layers)  # what is right, and what is not; both ends unseen
    apart = 0.0
    while high - low > 1:
        middle = (low + high) // 2
        found = _apart(making, exporter, Until(whole, layers[middle]), images)
        if found <= TOLERANCE:
            low = middle
        else:
            high, apart = middle, found
    if high == len(layers):
        return "No layer of the network differs by itself, so it is what follows the last one."
    if not layers[high]:
        return f"It begins with what the network sees, which differs by {apart:.3g} of the largest value."
    kind = type(whole.network.get_submodule(layers[high])).__name__
    return f"The first layer that differs is {layers[high]} ({kind}), by {apart:.3g} of its largest value."


class Until(nn.Module):
    """A whole model up to a layer of its network, "" for what the network sees, as a model of one output."""

    def __init__(self, whole: SelfContained, path: str) -> None:
        super().__init__()
        self.whole, self._path = whole, path

    def forward(self, images: Tensor) -> tuple[Tensor]:
        if not self._path:
            return (self.whole.seeing(images),)
        given: list[Tensor] = []
        with watched([self.whole.network.get_submodule(self._path)], lambda _, output: given.append(output)):
            self.whole(images)
        return (given[-1].float() * 1,)  # so that it is no view of what a later layer changes in place


def _layers(whole: SelfContained, images: NDArray[np.uint8]) -> list[str]:
    """The layers without layers inside that give a tensor, in the order in which they do so last."""
    paths = {layer: path for path, layer in whole.network.named_modules() if not [*layer.children()]}
    given: dict[str, None] = {}

    def see(layer: nn.Module, output: Tensor) -> None:
        given.pop(paths[layer], None)
        given[paths[layer]] = None

    with torch.no_grad(), watched(paths, see):
        whole(torch.from_numpy(images))
    return list(given)


def _apart(making: Making, exporter: Chosen[Exporter], until: Until, images: NDArray[np.uint8]) -> float:
    """How far what a file gives is from what the module gives, in shares of the largest value."""
    with torch.no_grad():
        ours = until(torch.from_numpy(images))[0].numpy()
    with TemporaryDirectory() as name:
        folder = Path(name)
        exporter.implementation("export")(making.portable("fp32", until), folder, exporter.settings)
        theirs = np.asarray(exporter.implementation("load")(folder)(images)[making.outputs[0]])
    apart = np.abs(ours - theirs).max() / max(float(np.abs(ours).max()), 1e-6)
    return float(apart) if np.isfinite(apart) else float("inf")
