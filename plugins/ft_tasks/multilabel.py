"""multilabel: any number of labels an image. Which labels there are, and what of them each image has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

import ft
from ft import FtError, Label, LabelSpace, did_you_mean, natural_order, some_names

UNKNOWN = float("nan")
"""In a target: whether an image has this label, nobody knows. It counts neither in the loss nor in the figures."""
EVEN = 0.5
"""The threshold of a label that no image shows."""
_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no"}


class MultilabelSettings(ft.Settings):
    loss: Literal["bce"] = Field("bce", description="bce: binary cross-entropy, a yes or no for each label")
    positive_weights: Literal["none", "balanced"] = Field(
        "none",
        description="what an image counts in the loss of a label that it has. balanced: as many times as there are "
        "images without the label for each one with it; probabilities then come out too high for rare labels",
    )
    most_weight: float | None = Field(
        None,
        ge=1,
        le=1e6,
        description="with positive_weights=balanced: the largest weight; the smallest is 1 of this; default: 10",
    )
    thresholds: Literal["best"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "best",
        description="from which probability on an image is said to have a label. best: for each label where its F1 on "
        "the validation images is highest; or one number for all",
    )
    separator: str = Field(";", min_length=1, max_length=1, description="what stands between labels in one text")
    one_each: Literal["fail", "allow"] = Field(
        "fail", description="what to do where every image has exactly one label, as in a folder of classes"
    )

    @field_validator("thresholds", mode="before")
    @classmethod
    def _is_probability(cls, value: object) -> object:
        if isinstance(value, int | float) and not 0 < value < 1:
            raise ValueError("a threshold is a probability, more than 0 and less than 1")
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> MultilabelSettings:
        if self.most_weight is not None and self.positive_weights == "none":
            raise ValueError("most_weight bounds balanced weights; add positive_weights=balanced, or leave it out")
        return self


def space(labels: Sequence[Label], settings: MultilabelSettings) -> LabelSpace:
    """Return the labels that occur in texts, in natural order, or the columns, in theirs.

    Raises FtError where there are none, where texts and columns are mixed, and for texts of which each is one label.
    """
    columns = [label for label in labels if not isinstance(label, str)]
    if not columns:
        sets = [_in_text(str(label), settings) for label in labels]
        if all(len(each) == 1 for each in sets) and settings.one_each == "fail":
            raise FtError(_ONE_EACH.format(settings.separator))
        names = tuple(sorted({name for each in sets for name in each}, key=natural_order))
        if not names:
            raise FtError(f"no training image has a label; write names with '{settings.separator}' between them")
        return LabelSpace(names)
    if len(columns) < len(labels):
        text = next(label for label in labels if isinstance(label, str))
        raise FtError(f"some labels are columns, others a text, as '{text}'; multilabel takes one or the other")
    names = tuple(columns[0])
    read = [_in_columns(each, names) for each in columns]
    if not names or not any(value == 1 for each in read for value in each):
        raise FtError(f"no training image has a label; the columns {some_names(names)} hold no 1")
    return LabelSpace(names)


def extend(labels: Sequence[Label], known: LabelSpace, settings: MultilabelSettings) -> LabelSpace:
    """The labels of a run that this one starts from, and those of its own training images: of texts in natural order,
    new columns behind the known ones. Raises FtError as `space` does."""
    own = space(labels, settings).names
    names = dict.fromkeys([*known.names, *own])
    return LabelSpace(tuple(names) if isinstance(labels[0], Mapping) else tuple(sorted(names, key=natural_order)))


def encode(labels: Sequence[Label], space: LabelSpace, settings: MultilabelSettings) -> list[tuple[float, ...]]:
    """Return for each image a number for each label: 1 has it, 0 has it not, NaN unknown.

    Raises FtError for what is no such label.
    """
    places = {name: place for place, name in enumerate(space.names)}
    from_text: dict[str, tuple[float, ...]] = {}  # equal texts share a target
    targets = []
    for label in labels:
        if not isinstance(label, str):
            targets.append(_in_columns(label, space.names))
            continue
        if label not in from_text:
            from_text[label] = _from_text(label, places, settings)
        targets.append(from_text[label])
    return targets


def _from_text(text: str, places: Mapping[str, int], settings: MultilabelSettings) -> tuple[float, ...]:
    target = [0.0] * len(places)
    for name in _in_text(text, settings):
        if name not in places:
            raise FtError(
                f"no training image has the label '{name}'.{did_you_mean(name, places)} "
                f"Labels of train: {some_names(list(places))}. Where images are set aside by chance, another --set "
                "split.seed may leave one to train on"
            )
        target[places[name]] = 1.0
    return tuple(target)


def strata(labels: Sequence[Label], settings: MultilabelSettings) -> Sequence[Hashable]:
    """Return the rarest label that each image has, "" for one that has none: which label is rarest is what stratifying
    by sets of labels begins with, too (Sechidis, Tsoumakas & Vlahavas 2011)."""
    sets = [_names_of(label, settings) for label in labels]
    counts = Counter(name for each in sets for name in each)
    return [min(each, key=lambda name: (counts[name], natural_order(name)), default="") for each in sets]


def _names_of(label: Label, settings: MultilabelSettings) -> Sequence[str]:
    if isinstance(label, str):
        return _in_text(label, settings)
    return [name for name, value in zip(label, _in_columns(label, tuple(label)), strict=True) if value == 1]


def _in_text(text: str, settings: MultilabelSettings) -> Sequence[str]:
    """The names in a text, each once."""
    return list(dict.fromkeys(name for part in text.split(settings.separator) if (name := part.strip())))


def _in_columns(label: Mapping[str, str], names: Sequence[str]) -> tuple[float, ...]:
    if label.keys() != set(names):
        for name in label:
            if name not in names:
                raise FtError(f"there is no label '{name}'.{did_you_mean(name, names)} Labels: {some_names(names)}")
        lacking = [name for name in names if name not in label]
        raise FtError(f"an image has no value for {some_names(lacking)}; give it a column, empty where it is not known")
    return tuple(_value(name, label[name]) for name in names)


def _value(column: str, text: str) -> float:
    plain = text.strip().casefold()
    if not plain:
        return UNKNOWN
    if plain in _YES or plain in _NO:
        return float(plain in _YES)
    try:
        number = float(plain)
    except ValueError:
        number = UNKNOWN
    if number in (0, 1):  # 1.0, as programs write columns in which a value is missing
        return number
    measured = ". Numbers are learnt with --task regression" if number == number else ""
    raise FtError(
        f"column '{column}' holds '{text}'; a label's column holds 1, 0, or nothing where it is not known{measured}"
    )


_ONE_EACH = (
    "every training image has exactly one label, as in a folder of classes: that is --task classification. Several "
    "labels an image come from a table, csv:FILE: names with '{}' between them in its column 'label', or a column of "
    "0 and 1 for each label, --set 'data.columns=[a, b]'. If one each is meant, say so with --set task.one_each=allow"
)


def thresholds_of(space: LabelSpace, settings: MultilabelSettings) -> Sequence[float] | None:
    """The thresholds that are fixed: the setting's, or those in the space; None where they are yet to be chosen.
    Raises FtError for what are no thresholds."""
    if settings.thresholds != "best":
        return [settings.thresholds] * len(space.names)
    return space.read("thresholds", len(space.names)) if "thresholds" in space.numbers else None
