"""multilabel: what the labels of a run's images may not have been meant to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ft import LabelSpace, Remark, number_of, some_names
from ft_tasks.multilabel import MultilabelSettings
from ft_tasks.numbers import is_number

_MEASURED = 20
"""Different numbers from which labels may be measurements."""


def remarks(targets: Mapping[str, Tensor], space: LabelSpace, settings: MultilabelSettings) -> Iterator[Remark]:
    """Say what is odd about targets [N, K] of "train", "val" and "test"."""
    yield from _none_and_unknown(targets)
    yield from _looks_like_another_task(targets["train"], space, settings)
    for part, each in targets.items():
        if not len(each):
            continue
        absent = [name for name, there in zip(space.names, (each == 1).any(0).tolist(), strict=True) if not there]
        if absent:
            so = "it cannot be learnt" if part == "train" else "nothing measures it"
            labels = number_of(len(absent), "label")
            yield Remark(
                f"{part} has no image with {labels} of {len(space.names)}, so {so}: {some_names(absent)}", warns=True
            )
    train = targets["train"]
    always = [name for name, lacks in zip(space.names, (train == 0).any(0).tolist(), strict=True) if not lacks]
    if always:
        yield Remark(
            f"train has no image that is known to lack {some_names(always)}, so it cannot be told apart", warns=True
        )


def _none_and_unknown(targets: Mapping[str, Tensor]) -> Iterator[Remark]:
    none = {part: int((each == 0).all(1).sum()) for part, each in targets.items() if len(each)}
    if any(none.values()):
        counts = ", ".join(f"{count} of {len(targets[part])} in {part}" for part, count in none.items())
        yield Remark(f"images that have none of the labels: {counts}")
    unknown = {part: int(each.isnan().sum()) for part, each in targets.items() if len(each)}
    if any(unknown.values()):
        shares = ", ".join(f"{100 * count / targets[part].numel():.3g} % in {part}" for part, count in unknown.items())
        yield Remark(f"labels that are not known, and do not count: {shares}")
    empty = int(targets["train"].isnan().all(1).sum())
    if empty:
        yield Remark(f"{number_of(empty, 'training image has', 'training images have')} no known label", warns=True)


def _looks_like_another_task(train: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Iterator[Remark]:
    if bool(torch.all((train == 1).sum(1) == 1)):
        yield Remark(
            "every training image has exactly one label; if no image can have two, that is --task classification, with "
            "the label's name in one column"
        )
    if len(space.names) > _MEASURED and all(map(is_number, space.names)):
        yield Remark(
            f"the labels are {len(space.names)} different numbers, as {space.names[0]}; measurements are learnt with "
            "--task regression",
            warns=True,
        )
    for separator in "|,;":
        joined = [name for name in space.names if separator in name]
        parts = [part.strip() for name in space.names for part in name.split(separator)]
        if separator != settings.separator and joined and len(set(parts)) < len(parts):
            yield Remark(
                f"the label '{joined[0]}' looks like several in one; if it is, say so with "
                f"--set 'task.separator={separator}'",
                warns=True,
            )
            return
