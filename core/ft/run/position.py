"""How far training has come: finished epochs with their figures, and what was asked for from when on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

from ft.config.schema import Config
from ft.extension.records import Candidate
from ft.extension.tasks import Figure


def _read_epoch(record: Any) -> Any:
    """An epoch as older formats held it, as it is held now."""
    if not isinstance(record, dict):
        return record
    read = dict(record)
    if "train" not in read:
        read["train"] = {name: read.pop(f"train_{name}") for name in ("loss", "accuracy") if f"train_{name}" in read}
    if isinstance(val := read.get("val"), dict):
        read["val"] = {key: val[key] for key in val if key not in ("classes", "confusion")}
    return read


def read_position(position: Any) -> Any:
    """How far an older run has come, as it is said now."""
    if not isinstance(position, dict) or "hits" not in position:
        return position
    return {**{key: value for key, value in position.items() if key != "hits"}, "tally": position["hits"]}


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to. `train` holds means over the epoch's steps, as the weights were at each step: the loss,
    and what the task counts.

    `val` are the figures as training saw them: from kept features where there are any, in the run's precision.
    `penalty` is that of a fit by an optimizer that solves, which is what stands for an epoch there. Where heads train
    side by side, the figures are those of the `candidate` that was the best after this epoch.
    """

    epoch: int
    train: Mapping[str, float]
    lr: float
    seconds: float
    val: Mapping[str, float]
    penalty: float | None = None
    candidate: Candidate | None = None

    def line(self) -> dict[str, Any]:
        """What metrics.jsonl says of the epoch."""
        return {
            "epoch": self.epoch,
            **{f"train_{name}": value for name, value in self.train.items()},
            "lr": self.lr,
            "seconds": self.seconds,
            "penalty": self.penalty,
            **({f"candidate_{name}": value for name, value in vars(self.candidate).items()} if self.candidate else {}),
            **{f"val_{name}": value for name, value in self.val.items()},
        }

    def figures(self) -> dict[str, float]:
        """Every figure of the epoch, by its name in metrics.jsonl."""
        return {name: value for name, value in self.line().items() if name != "epoch" and value is not None}

    def merit(self, figure: Figure) -> tuple[float, float]:
        """What to compare epochs by, larger being better: the figure; of equals, the lower loss."""
        return merit(self.val, figure)


def merit(val: Mapping[str, float], figure: Figure) -> tuple[float, float]:
    """What to compare figures of validation by, larger being better: one of them; of equals, the lower loss."""
    value = val[figure.name]
    return value if figure.larger_is_better else -value, -val["loss"]


@dataclass(frozen=True)
class Tried:
    """What became of a candidate: after which epoch it did best by the monitored figure, and what its figures were
    then. They are empty, and the epoch None, where its head never gave numbers."""

    candidate: Candidate
    epoch: int | None = None
    val: Mapping[str, float] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """What report.json says of it."""
        return {**vars(self.candidate), "epoch": self.epoch, "val": {**self.val}}


@dataclass(frozen=True)
class AveragedEpochs:
    """An average of the weights at the ends of the epochs `of`, made `after` so many finished epochs, the phase's last:
    of which kind, "swa" or "soup", with which figures, as epochs are measured, and whether it was taken for the best of
    the phase."""

    kind: str
    of: list[int]
    after: int
    val: Mapping[str, float]
    taken: bool


def epochs_averaged(epochs: Sequence[int]) -> str:
    """Epochs as they are read.

    >>> epochs_averaged([8, 10, 9]), epochs_averaged([3, 1])
    ('epochs 8, 9 and 10', 'epochs 1 and 3')
    """
    *others, last = map(str, sorted(epochs))
    return f"epochs {', '.join(others)} and {last}"


@dataclass(frozen=True)
class Phase:
    """What a run was asked for from a moment on: after `epoch` finished epochs, and `step` steps into the next one."""

    epoch: int
    step: int
    freeze: list[Any]
    train: list[Any]
    epochs: int
    lr: float
    head_lr: float
    lr_decay: float
    weight_decay: float


def phase_from(config: Config, epoch: int = 0, step: int = 0) -> Phase:
    """The phase that begins there when `config` is obeyed."""
    asked = config.model_dump(mode="json")
    names = ("epochs", "lr", "head_lr", "lr_decay", "weight_decay")
    return Phase(epoch, step, asked["freeze"], asked["train"], **{name: asked["training"][name] for name in names})


@dataclass
class Position:
    """How far training has come: finished epochs, steps into the next one, and that epoch's running sums.

    `parts` is in how many parts a batch is computed, because memory ran out. `phases` has a second member once the
    freeze, the learning rates or the number of epochs was changed on the way. `tried` are the candidates of the last
    phase in which heads trained side by side. `averages` are
    those that were tried at the ends of phases.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    tally: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    parts: int = 1
    history: list[Annotated[EpochRecord, BeforeValidator(_read_epoch)]] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    averages: list[AveragedEpochs] = field(default_factory=list)

    @property
    def in_phase(self) -> list[EpochRecord]:
        """The finished epochs of the last phase."""
        return self.history[self.phases[-1].epoch :]

    @property
    def averaged(self) -> AveragedEpochs | None:
        """The average that is the best of the phase which ends here, if one is."""
        last = self.averages[-1] if self.averages else None
        return last if last is not None and last.taken and last.after == self.epoch else None

    def best_merit(self, figure: Figure, before: int | None = None) -> tuple[float, float]:
        """The merit of the best model so far, epoch or average, or of the best one `before` an epoch; the least there
        is where there is none."""
        epochs = (each.merit(figure) for each in self.history if before is None or each.epoch < before)
        averages = (merit(each.val, figure) for each in self.averages if each.taken)
        return max((*epochs, *averages), default=(-math.inf, -math.inf))

    def is_best(self, record: EpochRecord, figure: Figure) -> bool:
        """Whether the last epoch is better than all models before it."""
        return record.merit(figure) > self.best_merit(figure, before=record.epoch)

    def begun(self, steps_per_epoch: int) -> int:
        """After how many steps of the run the last phase began."""
        return self.phases[-1].epoch * steps_per_epoch + self.phases[-1].step

    def phase_of(self, epoch: int) -> int:
        """The number of the phase, from 1, in which a finished epoch was ended."""
        return sum(phase.epoch < epoch for phase in self.phases)

    def finish_step(self, loss: float, images: int, seconds: float) -> None:
        """Count one optimizer step over `images` images with this mean loss."""
        self.step += 1
        self.loss_sum += loss * images
        self.seen += images
        self.seconds += seconds

    def finish_epoch(
        self,
        lr: float,
        val: Mapping[str, float],
        seconds: float,
        tallied: str = "",
        of: float | Candidate | None = None,
    ) -> EpochRecord:
        """Put the epoch on record and begin the next; `seconds` is what evaluation took, and `tallied` is what the
        tally is called, "" where nothing was counted. `of` is the penalty, or the candidate, that it stands for."""
        counted = {tallied: self.tally / self.seen} if tallied else {}
        record = EpochRecord(
            epoch=self.epoch + 1,
            train={"loss": self.loss_sum / self.seen, **counted},
            lr=lr,
            seconds=self.seconds + seconds,
            val=val,
            penalty=of if isinstance(of, float) else None,
            candidate=of if isinstance(of, Candidate) else None,
        )
        self.history.append(record)
        self.epoch, self.step, self.loss_sum, self.tally, self.seen, self.seconds = self.epoch + 1, 0, 0.0, 0.0, 0, 0.0
        return record


def plain_position(position: Position) -> dict[str, Any]:
    """How far training has come as plain data; `dataclasses.asdict`, which copies every number, takes many times as
    long as an epoch of a head."""

    def plain(record: EpochRecord | Tried) -> dict[str, Any]:
        of, figures = record.candidate, {"val": {**record.val}}
        if isinstance(record, EpochRecord):
            figures["train"] = {**record.train}
        return {**vars(record), **figures, "candidate": None if of is None else vars(of)}

    return {
        **vars(position),
        "history": [plain(each) for each in position.history],
        "phases": [{**vars(each)} for each in position.phases],
        "tried": [plain(each) for each in position.tried],
        "averages": [{**vars(each), "of": [*each.of], "val": {**each.val}} for each in position.averages],
    }


def check_position(position: Position) -> Position:
    """Return a position that can be. Raises ValueError for another."""
    if len(position.history) != position.epoch:
        raise ValueError(f"{len(position.history)} epochs are on record, and {position.epoch} are finished")
    if position.step < 0 or position.parts < 1 or position.seen < 0:
        raise ValueError("it counts what cannot be")
    if not position.phases or not all(0 <= phase.epoch <= position.epoch for phase in position.phases):
        raise ValueError("its phases are not those of a run")
    return position


def best_epoch(history: Sequence[EpochRecord], figure: Figure) -> EpochRecord:
    """The epoch with the best validation figure; of equals that with the lowest loss, which has learnt the most."""
    return max(history, key=lambda record: record.merit(figure))
