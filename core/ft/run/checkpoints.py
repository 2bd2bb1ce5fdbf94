"""Checkpoints: the state from which a run continues, and the tensors that never change kept beside them once.

A checkpoint holds only what training moves. What is frozen is written one time, as `frozen.safetensors`, so that
saving costs what is trained and not what is large.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from safetensors.torch import load_file, save
from torch import nn

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.settings import first_fault
from ft.machine.files import publish, publish_bytes
from ft.model.state_dict import put_tensors
from ft.task.metrics import Figures
from ft.text.reading import check_plain, open_plain

FORMAT = 3
READABLE = (2, 3)
"""Format 2 held figures by class and the confusion matrix of every epoch, too."""


def _figures_alone(val: Any) -> Any:
    """What format 2 held of an epoch besides its figures is passed over."""
    return {key: val[key] for key in val if key not in ("classes", "confusion")} if isinstance(val, dict) else val


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to. `train_*` are means over the epoch's steps, as the weights were at each step.

    `val` is as training saw it: from kept features where there are any, in the run's precision. `penalty` is that of a
    fit by L-BFGS, which is what stands for an epoch there.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    lr: float
    seconds: float
    val: Annotated[Figures, BeforeValidator(_figures_alone)]
    penalty: float | None = None

    def line(self) -> dict[str, Any]:
        """What metrics.jsonl says of the epoch."""
        val = {f"val_{name}": value for name, value in vars(self.val).items()}
        return {**{name: value for name, value in vars(self).items() if name != "val"}, **val}

    def figures(self) -> dict[str, float]:
        """Every figure of the epoch, by its name in metrics.jsonl."""
        return {name: value for name, value in self.line().items() if name != "epoch" and value is not None}


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
    freeze, the learning rates or the number of epochs was changed on the way.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    hits: int = 0
    seen: int = 0
    seconds: float = 0.0
    parts: int = 1
    history: list[EpochRecord] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def finish_step(self, loss: float, hits: int, images: int, seconds: float) -> None:
        """Count one optimizer step over `images` images with this mean loss and so many right answers."""
        self.step += 1
        self.loss_sum += loss * images
        self.hits += hits
        self.seen += images
        self.seconds += seconds

    def finish_epoch(self, lr: float, val: Figures, seconds: float, penalty: float | None = None) -> EpochRecord:
        """Put the epoch on record and begin the next; `seconds` is what evaluation took."""
        record = EpochRecord(
            epoch=self.epoch + 1,
            train_loss=self.loss_sum / self.seen,
            train_accuracy=self.hits / self.seen,
            lr=lr,
            seconds=self.seconds + seconds,
            val=val,
            penalty=penalty,
        )
        self.history.append(record)
        self.epoch, self.step, self.loss_sum, self.hits, self.seen, self.seconds = self.epoch + 1, 0, 0.0, 0, 0, 0.0
        return record


@dataclass(frozen=True)
class Checkpoint:
    """`tensors` are those outside the frozen modules; `optimizer` is its state by parameter name.

    The best epoch's `tensors` are all there are, once the freeze was changed after it.
    """

    position: Position
    tensors: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Mapping[str, Any]]
    plan_digest: str


def check_position(position: Position) -> Position:
    """Return a position that can be. Raises ValueError for another."""
    if len(position.history) != position.epoch:
        raise ValueError(f"{len(position.history)} epochs are on record, and {position.epoch} are finished")
    if position.step < 0 or position.parts < 1 or not 0 <= position.hits <= position.seen:
        raise ValueError("it counts what cannot be")
    if not position.phases or not all(0 <= phase.epoch <= position.epoch for phase in position.phases):
        raise ValueError("its phases are not those of a run")
    return position


def check_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Return a dense tensor that has all its values. Raises ValueError for another, as for one value seen often."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise ValueError("it is no dense tensor")
    if tensor.nbytes > tensor.untyped_storage().nbytes():
        raise ValueError("it has more values than are in the file")
    return tensor


def moving_tensors(module: nn.Module, frozen: Sequence[str], frozen_modules: Sequence[str]) -> dict[str, torch.Tensor]:
    """Parameters that train and buffers outside frozen modules: everything a step can change."""
    still = set(frozen)
    return {
        name: tensor
        for name, tensor in module.state_dict().items()
        if name not in still and not any(name.startswith(path + ".") for path in frozen_modules)
    }


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all."""
    content = {
        "format": FORMAT,
        "plan_digest": checkpoint.plan_digest,
        "position": asdict(checkpoint.position),
        "tensors": {name: tensor.detach().cpu() for name, tensor in checkpoint.tensors.items()},
        "optimizer": dict(checkpoint.optimizer),
    }
    size = sum(t.nbytes for t in _tensors(content["tensors"], content["optimizer"]))
    with publish(path, size=size) as file:
        torch.save(content, file)


def _tensors(*trees: Any) -> Iterator[torch.Tensor]:
    for tree in trees:
        if isinstance(tree, Mapping):
            yield from _tensors(*tree.values())
        elif isinstance(tree, torch.Tensor):
            yield tree


class _Content(BaseModel):
    """What a checkpoint's file holds."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    format: Literal[2, 3]
    plan_digest: str
    position: Annotated[Position, AfterValidator(check_position)]
    tensors: dict[str, Annotated[torch.Tensor, AfterValidator(check_tensor)]]
    optimizer: dict[str, dict[str, Annotated[torch.Tensor, AfterValidator(check_tensor)] | float | bool | None]]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed. Raises FtError when it is not a whole one that ft wrote."""
    content = _unpickle(path)
    if isinstance(content, dict) and isinstance(found := content.get("format"), int) and found not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise FtError(f"{path} has checkpoint format {found}; this ft reads {known}")
    try:
        read = _Content.model_validate(content)
    except ValidationError as error:
        raise FtError(f"{path} is no checkpoint that ft wrote: {first_fault(error)}; {_INSTEAD}") from None
    except RecursionError:
        raise FtError(f"{path} is no checkpoint that ft wrote: it is nested too deeply; {_INSTEAD}") from None
    return Checkpoint(read.position, read.tensors, read.optimizer, read.plan_digest)


_INSTEAD = "take it from a copy of the run, or start another run"


def _unpickle(path: Path) -> Any:
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise FtError(f"{path} is no checkpoint that ft wrote: it is compressed; {_INSTEAD}")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise FtError(f"cannot read {path}: {error.strerror or error}") from error
    except FtError:
        raise
    except Exception as error:  # what is in a file decides what reading it raises, so all of it is the file's fault
        if code := re.search(r"GLOBAL (\S+)", str(error)):
            raise FtError(
                f"{path} is no checkpoint that ft wrote: reading it would run {code[1]}, and ft runs nothing from a "
                f"run's files; {_INSTEAD}"
            ) from None
        raise FtError(
            f"{path} is no checkpoint that can be read, being damaged or not written by ft; {_INSTEAD}"
        ) from error


def put_checked(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy tensors into `module` by name. Raises FtError, having changed nothing, for one that the module does not
    have, that is of another shape or type, or that holds what is no number."""
    own: dict[str, torch.Tensor] = module.state_dict()
    for name, tensor in tensors.items():
        if name not in own:
            raise FtError(f"{path} holds '{name}', which this model does not have; was the config edited?")
        if (given := _form(tensor)) != (wanted := _form(own[name])):
            raise FtError(f"{path} does not fit the model: '{name}' is {given}, not {wanted}; was the config edited?")
        if not torch.isfinite(tensor).all():
            raise FtError(f"{path} is damaged: '{name}' holds what is no number (NaN or infinite); {_INSTEAD}")
    put_tensors(module, tensors)


def check_optimizer(module: nn.Module, state: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Raise FtError unless the optimizer's state is that of parameters of `module`."""
    own = dict(module.named_parameters())
    for name, values in state.items():
        if name not in own:
            raise FtError(f"{path} holds the optimizer's state of '{name}', which this model does not have")
        for key, value in values.items():  # sums by row are smaller; another rank is the optimizer's own matter
            alike = isinstance(value, torch.Tensor) and value.ndim == own[name].ndim
            if alike and {*value.shape} - {1, *own[name].shape}:
                raise FtError(f"{path} does not fit the model: '{key}' of '{name}' is {_form(value)}; {_INSTEAD}")


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors, whole or not at all. Tied tensors are written once for each name."""
    plain, seen = dict[str, torch.Tensor](), set[int]()
    for name, tensor in tensors.items():
        dense = tensor.detach().cpu().contiguous()
        plain[name] = dense.clone() if dense.data_ptr() in seen else dense  # the format knows no two names for one
        seen.add(dense.data_ptr())
    publish_bytes(path, save(plain))


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file. Raises FtError when it cannot be read."""
    try:
        check_plain(path)
        return load_file(path)
    except OSError as error:
        raise FtError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # safetensors raises its own SafetensorError, which it does not export as an OSError
        raise FtError(f"cannot read {path}: {error}") from error


def best_epoch(history: Sequence[EpochRecord], monitor: str) -> EpochRecord:
    """The epoch with the best validation figure; of equals that with the lowest loss, which has learnt the most."""
    return max(history, key=lambda record: record.val.merit(monitor))
