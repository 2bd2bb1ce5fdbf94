"""`classification`: a label is the name of a class, and each image is of one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from ft import FtError, Label, LabelSpace, Remark, Settings, did_you_mean, natural_order, some_names
from ft_tasks.another_task import another_task

if TYPE_CHECKING:
    from torch import Tensor

UNSEEN = "; the head goes on with what it knows of them, and forgets it as it learns others: add images of them"
"""Of classes of a run that another one starts from, which has no images of them."""
TEMPERATURE = "temperature"
"""Among the numbers of the label space: what logits are divided by."""


class ClassificationSettings(Settings):
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the label given to the other classes")
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        "none",
        examples=["{crack: 3}"],
        description="what an image of a class counts in the loss; balanced: rare classes more; a mapping: by hand, 1 "
        "where it names none",
    )
    sampler: Literal["none", "balanced"] = Field(
        "none", description="balanced: images are drawn so that each class comes as often, some several times an epoch"
    )
    loss: Literal["cross-entropy", "focal"] = Field(
        "cross-entropy", description="focal: images that are answered well already count less"
    )
    gamma: float | None = Field(None, ge=0, description="how much less, with loss=focal; default: 2")

    @model_validator(mode="after")
    def _goes_together(self) -> ClassificationSettings:
        if self.loss == "focal" and self.label_smoothing:
            raise ValueError("the focal loss knows no label_smoothing; leave one of them out")
        if self.gamma is not None and self.loss != "focal":
            raise ValueError("gamma is the focal loss's; add loss=focal, or leave it out")
        if self.sampler == self.class_weights == "balanced":
            raise ValueError("sampler=balanced and class_weights=balanced would each make up for it; leave one out")
        return self


def space(labels: Sequence[Label], settings: ClassificationSettings) -> LabelSpace:
    """The classes of the training images, in natural order.

    Raises FtError for fewer than two, for labels that are no names, and for weights of classes that there are not.
    """
    columns = next((label for label in labels if not isinstance(label, str)), None)
    if columns is not None:
        raise FtError(
            f"classification reads one column of class names, and there are {len(columns)}: "
            f"{some_names(list(columns))}. Use --task multilabel for columns of 0 and 1, --task regression for columns "
            "of numbers"
        )
    if not all(labels):
        raise FtError("an image has no label; with --task multilabel an empty one means none of them")
    names = tuple(sorted(set(map(str, labels)), key=natural_order))
    if len(names) < 2:
        raise FtError(f"there is one class only, '{names[0]}'; telling classes apart takes two or more")
    if isinstance(settings.class_weights, dict):
        for name in settings.class_weights:
            if name not in names:
                raise FtError(
                    f"task.class_weights names '{name}', which is no class.{did_you_mean(name, names)} "
                    f"Classes: {some_names(names)}"
                )
    return LabelSpace(names)


def extend(labels: Sequence[Label], known: LabelSpace, settings: ClassificationSettings) -> LabelSpace:
    """The classes of a run that this one starts from, and those of its own training images, in natural order."""
    return space([*labels, *known.names], settings)


def encode(labels: Sequence[Label], space: LabelSpace, settings: ClassificationSettings) -> list[int]:
    """The index of each label's class. Raises FtError for a class that is not in the space."""
    numbers: dict[Label, int] = {name: number for number, name in enumerate(space.names)}
    try:
        return [numbers[label] for label in labels]
    except (KeyError, TypeError):
        unknown = next(str(label) for label in labels if not isinstance(label, str) or label not in numbers)
        hint = another_task(space.names)
        raise FtError(
            f"'{unknown}' is no class of the training images.{did_you_mean(unknown, space.names)} "
            f"Classes: {some_names(space.names)}{f'. {hint}' if hint else ''}"
        ) from None


def strata(labels: Sequence[Label], settings: ClassificationSettings) -> Sequence[Hashable]:
    """Of every class a share is set aside. Columns are refused later, by `space`."""
    return [label if isinstance(label, str) else tuple(label.values()) for label in labels]


def remarks(targets: Mapping[str, Tensor], space: LabelSpace, settings: ClassificationSettings) -> Iterator[Remark]:
    """Classes that a split has no images of, which nothing then measures; names that look like another task's
    labels."""
    for split in ("train", "val", "test"):
        present = set(targets[split].tolist())
        missing = [name for number, name in enumerate(space.names) if number not in present]
        if present and missing:
            count = f"{len(missing)} of {len(space.names)} classes"
            unseen = UNSEEN if split == "train" else ""
            yield Remark(f"{split} has no image of {count}: {some_names(missing)}{unseen}", warns=True)
    if hint := another_task(space.names, len(targets["train"])):
        yield Remark(hint, warns=True)


def shares(targets: Tensor, space: LabelSpace, settings: ClassificationSettings) -> list[float] | None:
    """How often each training image is drawn: where classes are balanced, inversely to how often its class occurs."""
    if settings.sampler == "none":
        return None
    counts = targets.bincount(minlength=len(space.names))
    inverse: list[float] = (1.0 / counts[targets].double()).tolist()
    return inverse


def temperature_of(space: LabelSpace) -> float:
    """The temperature of a label space; 1 where it has none, as those of older runs and of runs that still train.
    Raises FtError for what is no temperature."""
    return space.read(TEMPERATURE, 1)[0] if TEMPERATURE in space.numbers else 1.0
