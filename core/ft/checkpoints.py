"""Checkpoints: the state from which a run continues, and the tensors that never change kept beside them once.

A checkpoint holds only what training moves. What is frozen is written one time, as `frozen.safetensors`, so that
saving costs what is trained and not what is large.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from ft.config import Config
from ft.errors import FtError
from ft.files import publish, publish_bytes
from ft.metrics import ClassMetrics, Evaluation

FORMAT = 2


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to. `train_*` are means over the epoch's steps, as the weights were at each step.

    `penalty` is that of a fit by L-BFGS, which is what stands for an epoch there.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    lr: float
    seconds: float
    val: Evaluation
    penalty: float | None = None


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

    def finish_epoch(self, lr: float, val: Evaluation, seconds: float, penalty: float | None = None) -> EpochRecord:
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


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed. Raises FtError when it is not a whole one."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise FtError(f"{path} has checkpoint format {content['format']}; this ft reads {FORMAT}")
        position = content["position"]
        position |= {
            "history": [_record(each) for each in position["history"]],
            "phases": [Phase(**each) for each in position["phases"]],
        }
        return Checkpoint(Position(**position), content["tensors"], content["optimizer"], content["plan_digest"])
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise FtError(
            f"{path} is no checkpoint that can be read: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error


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
        return load_file(path)
    except Exception as error:  # safetensors raises its own SafetensorError, which it does not export as an OSError
        raise FtError(f"cannot read {path}: {error}") from error


def _record(saved: Mapping[str, Any]) -> EpochRecord:
    return EpochRecord(**{**saved, "val": evaluation_from(saved["val"])})


def evaluation_from(saved: Mapping[str, Any]) -> Evaluation:
    """The inverse of `dataclasses.asdict` for an Evaluation."""
    return Evaluation(
        loss=saved["loss"],
        accuracy=saved["accuracy"],
        macro_f1=saved["macro_f1"],
        classes=tuple(ClassMetrics(**each) for each in saved["classes"]),
        confusion=tuple(tuple(row) for row in saved["confusion"]),
    )
