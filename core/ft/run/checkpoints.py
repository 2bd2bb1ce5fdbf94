"""Checkpoints: the state from which a run continues, and the tensors that never change kept beside them once.

A checkpoint holds only what training moves. What is frozen is written one time, as `frozen.safetensors`, so that
saving costs what is trained and not what is large.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from safetensors.torch import load_file, save
from torch import nn

from ft.errors import FtError
from ft.extension.settings import first_fault
from ft.machine.files import publish, publish_bytes
from ft.model.state_dict import put_tensors
from ft.run.position import Position, check_position, plain_position, read_position
from ft.text.names import as_text
from ft.text.reading import check_plain, open_plain

FORMAT = 6
READABLE = (2, 3, 4, 5, 6)
"""Format 2 held figures by class and the confusion matrix of every epoch, too. Until 3 the figures were those of
classification; until 4 there were no averages, and until 5 no
scale of the loss."""


@dataclass(frozen=True)
class ScaleState:
    """By which `factor` the loss of a run in fp16 is multiplied, how many steps were `taken` since it changed, and how
    many were `skipped` in a row."""

    factor: Annotated[float, Field(gt=0)]
    taken: Annotated[int, Field(ge=0)]
    skipped: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Checkpoint:
    """`tensors` are those outside the frozen modules; `optimizer` is its state by parameter name; `average` is that of
    the tensors, of those that have one; `scale` is that of the loss, of a run in fp16.

    The best epoch's `tensors` are all there are, once the freeze was changed after it.
    """

    position: Position
    tensors: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Mapping[str, Any]]
    plan_digest: str
    average: Mapping[str, torch.Tensor] = field(default_factory=dict)
    scale: ScaleState | None = None

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """What a model that is made of this state has: averages, where there are any, in place of the tensors from
        which training goes on."""
        return {**self.tensors, **self.average}


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
        "position": plain_position(checkpoint.position),
        "tensors": {name: tensor.detach().cpu() for name, tensor in checkpoint.tensors.items()},
        "optimizer": dict(checkpoint.optimizer),
        "average": {name: tensor.detach().cpu() for name, tensor in checkpoint.average.items()},
        "scale": vars(checkpoint.scale) if checkpoint.scale else None,
    }
    size = sum(t.nbytes for t in _tensors(content["tensors"], content["optimizer"], content["average"]))
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

    format: Literal[2, 3, 4, 5, 6]
    plan_digest: str
    position: Annotated[Position, BeforeValidator(read_position), AfterValidator(check_position)]
    tensors: dict[str, Annotated[torch.Tensor, AfterValidator(check_tensor)]]
    optimizer: dict[str, dict[str, Annotated[torch.Tensor, AfterValidator(check_tensor)] | float | bool | None]]
    average: dict[str, Annotated[torch.Tensor, AfterValidator(check_tensor)]] = {}
    scale: ScaleState | None = None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed. Raises FtError when it is not a whole one that ft wrote."""
    content = _unpickle(path)
    if isinstance(content, dict) and isinstance(found := content.get("format"), int) and found not in READABLE:
        known = f"{READABLE[0]} to {READABLE[-1]}"
        raise FtError(f"{path} has checkpoint format {found}; this ft reads {known}")
    try:
        read = _Content.model_validate(content)
    except ValidationError as error:
        raise FtError(f"{path} is no checkpoint that ft wrote: {first_fault(error)}; {_INSTEAD}") from None
    except RecursionError:
        raise FtError(f"{path} is no checkpoint that ft wrote: it is nested too deeply; {_INSTEAD}") from None
    return Checkpoint(read.position, read.tensors, read.optimizer, read.plan_digest, read.average, read.scale)


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
    """Copy tensors into `module` by name. Raises FtError, having changed nothing, as `check_tensors` does."""
    check_tensors(module, tensors, path)
    put_tensors(module, tensors)


def check_all_there(needed: Iterable[str], tensors: Collection[str], path: Path) -> None:
    """Raise FtError where a tensor that is needed lacks."""
    if missing := sorted(set(needed) - set(tensors)):
        raise FtError(f"{path} lacks {len(missing)} of the model's tensors, {missing[0]} first; was it edited?")


def check_tensors(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise FtError for one that the module does not have, that is of another shape or type, or that holds what is no
    number."""
    own: dict[str, torch.Tensor] = module.state_dict()
    for name, tensor in tensors.items():
        if name not in own:
            raise FtError(f"{path} holds '{name}', which this model does not have; was the config edited?")
        if (given := _form(tensor)) != (wanted := _form(own[name])):
            raise FtError(f"{path} does not fit the model: '{name}' is {given}, not {wanted}; was the config edited?")
        if not torch.isfinite(tensor).all():
            raise FtError(f"{path} is damaged: '{name}' holds what is no number (NaN or infinite); {_INSTEAD}")


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
    if (said := as_text(str(path))) != str(path):  # safetensors opens no such path
        raise FtError(f"{said} is no UTF-8, and tensors cannot be read from there; give the folder another name")
    try:
        check_plain(path)
        return load_file(path)
    except OSError as error:
        raise FtError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # safetensors raises its own SafetensorError, which it does not export as an OSError
        raise FtError(f"cannot read {path}: {error}") from error
