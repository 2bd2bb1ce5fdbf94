"""What the JSON files of a run's folder hold: they are written from these records and read into them.

A run's folder may come from anybody, so each value is looked at when it is read. In model.json, which decides answers,
a key that is not known here is refused: a newer ft wrote it, and means something by it. plan.json and versions.json are
compared with what there is now, key by key, and may hold more.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ft.config.images import LARGEST_IMAGE
from ft.config.run_folders import check_there
from ft.config.schema import ComponentConfig
from ft.config.split import SplitConfig
from ft.data.turned import View
from ft.errors import FtError
from ft.extension.records import Preprocessing
from ft.extension.settings import first_fault
from ft.extension.tasks import LabelSpace
from ft.extension.unpackaged import names_code
from ft.run.position import Phase
from ft.text.names import typed
from ft.text.reading import read_text

R = TypeVar("R", bound=BaseModel)
FOLDS = "folds.json"
"""What the folder of a cross-validation has and that of a run has not."""
PHASES = "phases.json"
"""What the folder of a run in phases has beside what that of any run has."""
EXPORT = "export.json"
"""What the folder of an exported model has."""
AVERAGE = "average.json"
"""What the folder of an average of runs has beside what that of any run has."""
ENSEMBLE = "ensemble.json"
"""What the folder of an ensemble of runs has."""
SWEEP = "sweep.json"
"""What the folder of a sweep has."""
_LARGEST_RESIZE = 4
"""Times the crop; ImageNet's usual 256 for 224 is 1.14."""


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"'{twice}' is there twice")
    return names


def _sensible(preprocessing: Preprocessing) -> Preprocessing:
    crop, resize = preprocessing.crop_size, preprocessing.resize_size
    if not 1 <= crop <= LARGEST_IMAGE:
        raise ValueError(f"crop_size is {crop}; it is 1 to {LARGEST_IMAGE}")
    if not crop <= resize <= _LARGEST_RESIZE * crop:
        raise ValueError(f"resize_size is {resize}; it is {crop} to {_LARGEST_RESIZE * crop}, being cut to {crop}")
    if not all(value > 0 for value in preprocessing.std):
        raise ValueError(f"std is {list(preprocessing.std)}; each is more than 0")
    if (values := preprocessing.value_range) is not None and not values[0] < values[1]:
        raise ValueError(f"value_range is {list(values)}; the second value is more than the first")
    return preprocessing


class RunFile(BaseModel):
    """Base class of what a file holds."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class ModelFile(RunFile, extra="forbid"):
    """model.json: how to rebuild the model, what to feed it, what its outputs mean, and where it comes from."""

    format: Literal[1] = 1
    classes: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1), AfterValidator(_distinct)]
    task: ComponentConfig = ComponentConfig(use="classification")
    outputs: Annotated[int, Field(ge=0)] = 0
    """0 is one a name, so that a name too many or too few does not fit the head."""
    numbers: dict[str, tuple[float, ...]] = {}
    preprocessing: Annotated[Preprocessing, AfterValidator(_sensible)]
    backbone: ComponentConfig
    head: ComponentConfig
    head_description: tuple[str, ...]
    split: SplitConfig
    prefer: dict[str, str] = {}
    provenance: dict[str, Any] = {}

    @property
    def space(self) -> LabelSpace:
        """What the outputs of the network mean; `classes` are its names."""
        return LabelSpace(self.classes, self.outputs, self.numbers)

    @property
    def references(self) -> tuple[str, ...]:
        """The components without which the model cannot be used."""
        return self.backbone.use, self.head.use, self.task.use


class ViewsFile(RunFile):
    """export.json, as far as views of images are told by it."""

    views: tuple[View, ...] = ()


class EnsembleFile(RunFile, extra="allow"):
    """ensemble.json: the folders inside it that hold runs, with which numbers their outputs are averaged, and those
    with which the average is read."""

    format: Literal[1] = 1
    members: Annotated[tuple[Annotated[str, Field(pattern="^member-[0-9]+$")], ...], Field(min_length=2)]
    pooled: dict[str, tuple[float, ...]] = {}
    numbers: dict[str, tuple[float, ...]] = {}


class PlanFile(RunFile, extra="allow"):
    """plan.json: the plan that is obeyed, and the phases that led to it."""

    precision: Literal["fp32", "bf16", "fp16"]
    augment: str
    frozen_modules: tuple[str, ...]
    selected: dict[str, tuple[str, ...]]
    recipe: dict[str, Any]
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]


class PhaseBegun(RunFile):
    """A phase of a run in phases: what it was asked for, after how many epochs of the run it began, what of it is
    frozen, and the digest of that when it began. The rest is known once it has ended: after how many epochs, which of
    its own was the best, and the digest of what is frozen as it is then."""

    asked: dict[str, Any]
    begins: int
    plan_digest: str
    trainable_parameters: int
    frozen_parameters: int
    frozen_digest_before: str
    ended: int | None = None
    best_epoch: int | None = None
    frozen_digest_after: str | None = None


class PhasesFile(RunFile):
    """phases.json: the phases that have begun, one after the other."""

    phases: tuple[PhaseBegun, ...] = ()


class ComponentUsed(RunFile, extra="allow"):
    """A component as versions.json lists it; `sha256` is that of its code."""

    kind: str
    name: str
    distribution: str
    version: str
    sha256: str = ""


class VersionsFile(RunFile, extra="allow"):
    """versions.json: what the run was made with, and the folder in which it was started."""

    components: tuple[ComponentUsed, ...]
    started_in: str | None = None


class ReportFile(RunFile, extra="allow"):
    """report.json, as far as runs are compared by it: `val` and `test` hold figures, and the rows of tables."""

    epochs: int
    best_epoch: int
    averaged: tuple[int, ...] = ()
    chosen_by: dict[str, float] = {}
    val: dict[str, Any]
    test: dict[str, Any] | None = None


class Spread(RunFile):
    """A figure over folds: its mean and its standard deviation (with n - 1; None of one fold), and how many folds have
    it, `values` in their order."""

    mean: float
    deviation: float | None
    values: tuple[float, ...]


class FoldDone(RunFile):
    """A fold that is finished, the folder of its run inside that of all, and the saved model's figures."""

    fold: int
    run: str
    val: dict[str, float]
    test: dict[str, float] | None = None


class FoldsFile(RunFile, extra="allow"):
    """folds.json."""

    folds: int = Field(ge=2)
    started_in: str | None = None
    finished: tuple[FoldDone, ...] = ()
    val: dict[str, Spread] = Field({})
    test: dict[str, Spread] = Field({})


def to_predict(folder: Path) -> str:
    """The command that uses a finished run, as it is typed: with --trust-code where its model names code by file."""
    words = ["ft", "predict", str(folder), "IMAGES"]
    with suppress(FtError):  # whoever prints an old report may have its folder no more
        if any(map(names_code, read_record(folder / "model.json", ModelFile).references)):
            words.append("--trust-code")
    return typed(*words)


def choose_trial(folder: Path) -> str:
    """What to type in place of the folder of a sweep."""
    goes_on = typed("ft", "sweep", "--join", folder)
    return f"choose one, as {folder / 'trial-0000'}; the sweep goes on with {goes_on}"


def read_record(path: Path, record: type[R]) -> R:
    """Read one of a run's JSON files. Raises FtError, in one line, where it is missing or not what ft writes."""
    try:
        return record.model_validate_json(read_text(path))
    except FileNotFoundError:
        check_there(path.parent)
        if (path.parent / FOLDS).is_file():
            raise FtError(f"{path.parent} holds a run for each fold; choose one, as {path.parent / 'fold-1'}") from None
        if (path.parent / SWEEP).is_file():
            raise FtError(f"{path.parent} holds a run for each trial of a sweep; {choose_trial(path.parent)}") from None
        if (path.parent / EXPORT).is_file():
            raise FtError(
                f"{path.parent} holds an exported model, which ft predict and ft evaluate take; for anything else name "
                "the run that it was exported from"
            ) from None
        if (path.parent / ENSEMBLE).is_file():
            raise FtError(
                f"{path.parent} holds an ensemble, which ft predict, ft evaluate and ft.load take; for anything else "
                f"name one of its runs, as {path.parent / 'member-1'}"
            ) from None
        raise FtError(f"{path.parent} holds no {path.name}, so it is no finished run; see ft run --resume") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FtError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    except ValidationError as error:
        raise FtError(f"{path} is not what ft writes: {first_fault(error)}; take it from the run anew") from None
