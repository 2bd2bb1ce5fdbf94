"""The flags of `ft run` and `ft plan`: each sets one key of the config, and is described by that key's field."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from ft.cli.completion import COMPLETE, complete_set
from ft.config import Config, load_config
from ft.errors import FtError
from ft.plugins import Plugins

F = TypeVar("F", bound=Callable[..., Any])

# flag, key in the config, help (where the field does not say it), several values?
FLAGS: tuple[tuple[str, str, str, bool], ...] = (
    ("--backbone", "backbone", "PROVIDER:MODEL, as in torchvision:resnet18", False),
    ("--data", "data", "a folder, folder:PATH, csv:FILE, or another data source", False),
    ("--freeze", "freeze", "freezing strategy, as in all, depth:3, 'regex:layer[12].*'; repeat to add", True),
    ("--train", "train", "takes away from what --freeze froze; repeat to take away more", True),
    ("--head", "head", "head builder, as in linear or mlp; keep: the pretrained classifier", False),
    ("--weights", "weights", "none, default, an entry, or local:PATH, mirror:URL, pip:PACKAGE, official", False),
    ("--weight-source", "weights.sources", "weight source to try after the cache; repeat for more", True),
    ("--epochs", "training.epochs", "passes over the training images", False),
    ("--batch-size", "training.batch_size", "images a step", False),
    ("--optimizer", "training.optimizer", "", False),
    ("--lr", "training.lr", "", False),
    ("--head-lr", "training.head_lr", "", False),
    ("--lr-decay", "training.lr_decay", "", False),
    ("--weight-decay", "training.weight_decay", "", False),
    ("--warmup-epochs", "training.warmup_epochs", "", False),
    ("--label-smoothing", "training.label_smoothing", "share of the label given to the other classes", False),
    ("--mixup", "training.mixup", "", False),
    ("--class-weights", "training.class_weights", "", False),
    ("--clip-norm", "training.clip_norm", "", False),
    ("--auto-batch/--no-auto-batch", "training.auto_batch", "", False),
    ("--patience", "training.patience", "", False),
    ("--monitor", "training.monitor", "", False),
    ("--image-size", "images.size", "", False),
    ("--fit", "images.fit", "", False),
    ("--augment", "images.augment", "", False),
    ("--views", "images.views", "", False),
    ("--cache", "cache.promise", "", False),
    ("--bad-images", "images.bad", "", False),
    ("--val-fraction", "split.val", "", False),
    ("--test-fraction", "split.test", "", False),
    ("--seed", "seed", "everything random follows from it", False),
    ("--device", "machine.device", "", False),
    ("--precision", "machine.precision", "", False),
    ("--workers", "machine.workers", "", False),
    ("--channels-last/--no-channels-last", "machine.channels_last", "memory layout of images", False),
    ("--run-dir", "run_dir", "", False),
)

ON_RESUME = (
    *("--freeze", "--train", "--epochs", "--lr", "--head-lr", "--lr-decay", "--weight-decay"),
    *("--auto-batch", "--cache", "--data"),
)
"""The flags that a run which goes on may be given."""


def config_options(command: F) -> F:
    """Give a command the flags above, `--config` and `--set`; it gets them all as keyword arguments."""
    command = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete_set,
        help="set any key of the config",
    )(command)
    command = click.option(
        "--config", "file", type=click.Path(path_type=Path), help="YAML or JSON; flags and --set win over it"
    )(command)
    for flag, key, text, several in reversed(FLAGS):
        command = _option(flag, key, text, several)(command)
    return command


def config_from(file: Path | None, sets: tuple[str, ...], given: dict[str, Any]) -> Config:
    """The config that a command's arguments amount to. Raises FtError."""
    chosen = _chosen(given)
    if file is None and not sets and "backbone" not in chosen:
        raise FtError("which backbone? Write --backbone PROVIDER:MODEL, as in torchvision:resnet18 (see ft models)")
    return load_config(file, sets, chosen)


def changes_from(file: Path | None, sets: tuple[str, ...], given: dict[str, Any], plugins: Plugins) -> dict[str, Any]:
    """What a command's arguments change in the config of a run that goes on. Raises FtError for what may not.

    A new --freeze replaces --train, too.
    """
    chosen = _chosen(given)
    typed = [flag.partition("/")[0] for flag, key, _, _ in FLAGS if key in chosen]
    others = [flag for flag in typed if flag not in ON_RESUME] + ["--set"] * bool(sets) + ["--config"] * bool(file)
    if others:
        raise FtError(
            f"--resume continues a run as it was started; leave out {', '.join(others)}. "
            f"Beside it there may be {', '.join(ON_RESUME)}"
        )
    if "data" in chosen:
        chosen["data"] = _from_here(chosen["data"], plugins)
    if "freeze" in chosen:
        chosen.setdefault("train", [])
    return chosen


def _from_here(data: str, plugins: Plugins) -> str:
    """A data reference whose path, if it is one, is found from any folder; a run goes on in that where it began."""
    name, colon, argument = data.partition(":")
    prefix, path = (name + colon, argument) if plugins.has("data", name) else ("", data)
    there = Path(os.path.expanduser(path))
    return f"{prefix}{os.path.abspath(there)}" if path and os.path.exists(there) else data


def _chosen(given: dict[str, Any]) -> dict[str, Any]:
    """The keys whose flags were typed."""
    values = {key: given[_variable(flag)] for flag, key, _, _ in FLAGS}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items() if v not in (None, ())}


def _option(flag: str, key: str, text: str, several: bool) -> Callable[[F], F]:
    field = _field(key)
    about = text or field.description or ""
    if not several and not field.is_required() and field.default is not None and "default" not in about:
        about = "; ".join(part for part in (about, f"default: {getattr(field.default, 'use', field.default)}") if part)
    kind = {} if "/" in flag else {"type": _click_type(field.annotation), "metavar": _metavar(flag, field.annotation)}
    return click.option(
        flag,
        _variable(flag),
        default=() if several else None,
        multiple=several,
        shell_complete=COMPLETE.get(flag),
        help=about,
        **kind,
    )


def _field(key: str) -> Any:
    model: Any = Config
    *parents, last = key.split(".")
    for parent in parents:
        model = model.model_fields[parent].annotation
    return model.model_fields[last]


def _click_type(annotation: Any) -> Any:
    options = [a for a in (get_args(annotation) or (annotation,)) if a is not type(None)]
    if get_origin(annotation) is Literal:
        return click.Choice(list(get_args(annotation)))
    if len(options) == 1 and options[0] in (int, float):
        return options[0]
    return str


def _metavar(flag: str, annotation: Any) -> str | None:
    return None if get_origin(annotation) is Literal else flag.strip("-").upper().split("-")[-1]


def _variable(flag: str) -> str:
    return flag.partition("/")[0].strip("-").replace("-", "_")
