"""The records that tasks and ft hand to each other: a label space, figures, tables, answers; and what a loss and a
meter are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ft.errors import FtError
from ft.text.counting import written

if TYPE_CHECKING:
    from torch import Tensor

Label = str | Mapping[str, str]
"""What a data source says of an image: a text, or the texts of several columns by their names."""


def label_text(label: Label) -> str:
    """A label as messages say it.

    >>> label_text("cat"), label_text({"width": "3", "height": ""})
    ('cat', 'width 3, height empty')
    """
    if isinstance(label, str):
        return label
    return ", ".join(f"{column} {value or 'empty'}" for column, value in label.items())


@dataclass(frozen=True)
class LabelSpace:
    """What the outputs of a network mean. It goes into model.json, and with it wherever the model is used.

    `names` are those of classes, labels or targets; `outputs` is how many numbers the head gives an image, where that
    is not one a name. `numbers` are what else is needed to read them, one list a name: means and deviations of targets,
    thresholds.
    """

    names: tuple[str, ...]
    outputs: int = 0
    numbers: Mapping[str, tuple[float, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.outputs:
            object.__setattr__(self, "outputs", len(self.names))

    def read(self, name: str, count: int, positive: bool = True) -> tuple[float, ...]:
        """The `count` numbers of a name. Raises FtError where they are not as many, not finite, or not `positive`:
        a model.json may come from anybody."""
        found = self.numbers.get(name, ())
        if len(found) != count:
            raise FtError(f"numbers.{name} holds {len(found)}, and there have to be {count}")
        for number in found:
            if not math.isfinite(number) or (positive and number <= 0):
                raise FtError(
                    f"numbers.{name} holds {number}, which {'is not more than 0' if number <= 0 else 'is no number'}"
                )
        return found


@dataclass(frozen=True)
class Figure:
    """A figure of merit of a split, by which epochs may be compared: `--monitor NAME`.

    `title` is what people read, and `form` how the value is written, as for Python's format: ".1%", ".3f". Of a share
    `of_images`, a difference is also told in images. `short` is what a narrow terminal shows instead of the title.
    """

    name: str
    title: str
    form: str = ".3f"
    larger_is_better: bool = True
    of_images: bool = False
    short: str = ""

    def written(self, value: float) -> str:
        return written(value, self.form)


@dataclass(frozen=True)
class Table:
    """What is to be said of parts of a split, as its classes or targets: a row for each.

    A row is a mapping from columns to texts and numbers. `columns` say what people read at the head of each, and how
    its numbers are written, "" as they are. `costs` are how much each row has to do with the mistakes, so that the
    worst of many can be shown; none where rows are not compared. A `matrix` has the names of its rows and columns, in
    order, and rows of three columns: what an image was, what it was taken for, and how many there are.
    """

    name: str
    columns: Mapping[str, tuple[str, str]]
    rows: tuple[Mapping[str, str | float], ...]
    costs: tuple[float, ...] = ()
    matrix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a model says of one image: the base class of what tasks answer, which are frozen dataclasses, too.

    `image` is its path as it was given, "" for an image that is no file; ft fills it in.
    """

    image: str = field(default="", kw_only=True)

    def said(self, top: int) -> dict[str, Any]:
        """What `ft predict --json` writes, as plain data; of many alternatives the best `top`. Unless a task says
        otherwise these are the public fields."""
        given = {each.name: getattr(self, each.name) for each in fields(self) if not each.name.startswith("_")}
        return {name: value for name, value in given.items() if name != "image"}

    def row(self, top: int) -> dict[str, str | float]:
        """The same in the columns of a table: lists are joined by ";", mappings become a column for each name."""
        cells: dict[str, str | float] = {}
        for name, value in self.said(top).items():
            if isinstance(value, Mapping):
                cells.update(value)
            else:
                cells[name] = value if isinstance(value, str | int | float) else ";".join(map(str, value))
        return cells

    def cells(self, top: int) -> dict[str, str]:
        """The same for people: what stands at the head of each column, and the text below it."""
        row = self.row(top)
        return {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in row.items()}

    def every(self) -> Mapping[str, float] | None:
        """How likely the image is of, or has, every name of the label space, in their order: what `ft predict --all`
        tells. None where that is nothing the task says."""
        return None

    def folders(self) -> Sequence[str] | None:
        """The names of the label space under which a copy of the image is sorted by `ft predict --copy-to`; none of
        them where it has none. None where the task sorts nothing."""
        return None


class Loss(Protocol):
    """What is minimised. A function of two arguments does, in which each image counts alike.

    Where it has a `torch_only` that is True, it draws from no generators but torch's, and steps are a little shorter.
    """

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of outputs [N, K] in float32 or float64 and targets [N, ...], in which each image counts by its
        weight."""

    def weight(self, targets: Tensor) -> float:
        """What images with these targets weigh together, so that the parts of a batch add up to it."""


class SolvableLoss(Loss, Protocol):
    """A convex loss that an optimizer which solves can minimise over a linear head.

    `shift_invariant` says that adding one number to all outputs of an image changes nothing.
    """

    shift_invariant: bool

    def curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How the mean loss bends with each image's outputs: for each image [N] its second derivative, averaged over
        the directions that matter, or something near it; it is more than 0, and only decides how fast the minimum is
        found."""


class Meter(Protocol):
    """Sums up what a network answered on one split. `add` is called with batches, all on the CPU."""

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Take outputs [N, K] in float32, and targets [N, ...]."""

    def merge(self, other: Any) -> None:
        """Take everything that another meter of the same kind took."""

    def figures(self) -> Mapping[str, float]:
        """The "loss", and each figure that the task names."""

    def tables(self) -> Sequence[Table]:
        """What else is to be said, of each class or target; asked once, when a run ends."""


Noun = tuple[str, str]
"""A word for one and for several, as ("class", "classes")."""

Part = Literal["train", "val", "test"]
