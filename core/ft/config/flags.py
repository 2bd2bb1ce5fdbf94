"""The flags of `ft run` and `ft plan`, which are keywords of `ft.plan` and `ft.finetune`, too: each sets one key of the
config, and is described by that key's field.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Any

from ft.extension.installed import Plugins
from ft.extension.kinds import KINDS

# flag, key in the config, help (where the field does not say it), several values?
FLAGS: tuple[tuple[str, str, str, bool], ...] = (
    *((key.flag, key.path, key.about, key.several) for kind in KINDS.values() for key in kind.keys if key.flag),
    ("--from", "from_run", "", False),
    ("--lora", "lora.rank", "", False),
    ("--epochs", "training.epochs", "passes over the training images", False),
    ("--batch-size", "training.batch_size", "images a step", False),
    ("--lr", "training.lr", "", False),
    ("--head-lr", "training.head_lr", "", False),
    ("--lr-decay", "training.lr_decay", "", False),
    ("--weight-decay", "training.weight_decay", "", False),
    ("--warmup-epochs", "training.warmup_epochs", "", False),
    ("--label-smoothing", "training.label_smoothing", "", False),
    ("--mixup", "training.mixup", "", False),
    ("--cutmix", "training.cutmix", "", False),
    ("--manifold-mixup", "training.manifold_mixup", "", False),
    ("--ema", "training.ema", "", False),
    ("--swa", "training.swa", "", False),
    ("--soup", "training.soup", "", False),
    ("--class-weights", "training.class_weights", "", False),
    ("--clip-norm", "training.clip_norm", "", False),
    ("--auto-batch/--no-auto-batch", "training.auto_batch", "", False),
    ("--patience", "training.patience", "", False),
    ("--monitor", "training.monitor", "", False),
    ("--image-size", "images.size", "", False),
    ("--fit", "images.fit", "", False),
    ("--views", "images.views", "", False),
    ("--cache", "cache.promise", "", False),
    ("--bad-images", "images.bad", "", False),
    ("--val-fraction", "split.val", "", False),
    ("--test-fraction", "split.test", "", False),
    ("--split-group", "split.group", "", False),
    ("--folds", "split.folds", "", False),
    ("--fold", "split.fold", "", False),
    ("--seed", "seed", "everything random follows from it", False),
    ("--device", "machine.device", "", False),
    ("--precision", "machine.precision", "", False),
    ("--workers", "machine.workers", "", False),
    ("--channels-last/--no-channels-last", "machine.channels_last", "memory layout of images", False),
    ("--shard/--no-shard", "machine.shard", "", False),
    ("--time-budget", "time_budget", "", False),
    ("--run-dir", "run_dir", "", False),
)

ON_RESUME = (
    *("--freeze", "--train", "--epochs", "--lr", "--head-lr", "--lr-decay", "--weight-decay"),
    *("--auto-batch", "--cache", "--data", "--tracker", "--shard"),
)
"""The flags that a run which goes on may be given."""


def variable(flag: str) -> str:
    """What Python calls a flag, which may be no word of Python's own.

    >>> variable("--channels-last/--no-channels-last"), variable("--from")
    ('channels_last', 'from_run')
    """
    name = flag.partition("/")[0].strip("-").replace("-", "_")
    return f"{name}_run" if iskeyword(name) else name


def changes_on_resume(given: Mapping[str, Any], plugins: Plugins) -> dict[str, Any]:
    """What keys that are given beside a run which goes on change in its config: a new `freeze` replaces `train`, too,
    and data lie where their path leads from here."""
    changes = dict(given)
    if isinstance(data := changes.get("data"), str):
        changes["data"] = _from_here(data, plugins)
    if "freeze" in changes:
        changes.setdefault("train", [])
    return changes


def _from_here(data: str, plugins: Plugins) -> str:
    """A data reference whose path, if it is one, is found from any folder; a run goes on in that where it began."""
    name, colon, argument = data.partition(":")
    prefix, path = (name + colon, argument) if plugins.has("data", name) else ("", data)
    there = Path(os.path.expanduser(path))
    return f"{prefix}{os.path.abspath(there)}" if path and os.path.exists(there) else data
