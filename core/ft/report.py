"""What came of a run, as plain data."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ft.caching import CacheCost
from ft.checkpoints import EpochRecord, Phase, Position
from ft.config import Config
from ft.metrics import Evaluation
from ft.plan import Plan
from ft.training import best_epoch


@dataclass(frozen=True)
class Report:
    """The best epoch's figures, and the proof that what was frozen did not move.

    `speedup` is how many times longer an epoch would have taken had it computed what was computed once, by the time
    that took; None where that was not measured. `frozen_digest_before` and `..._after` are sha256 over every frozen
    parameter and every buffer of frozen modules. `phases` are what the run was asked for, one after the other.
    """

    backbone: str
    weights: str
    head: tuple[str, ...]
    freeze: tuple[str, ...]
    train: tuple[str, ...]
    classes: tuple[str, ...]
    epochs: int
    best_epoch: int
    monitor: str
    val: Evaluation
    test: Evaluation | None
    seconds: float
    trainable_parameters: int
    frozen_parameters: int
    frozen_digest_before: str
    frozen_digest_after: str
    plan_digest: str
    cache: CacheCost
    speedup: float | None
    warnings: tuple[str, ...]
    phases: tuple[Phase, ...]


def make_report(
    config: Config,
    plan: Plan,
    position: Position,
    test: Evaluation | None,
    before: str,
    after: str,
    cache: CacheCost,
) -> Report:
    """Sum up a run. `before` and `after` are digests of what is frozen; that they differ is a bug, never a result."""
    assert before == after, f"frozen tensors moved: digest {before} became {after}"
    history = position.history
    best = best_epoch(history, config.training.monitor)
    return Report(
        backbone=plan.backbone,
        weights=plan.weights,
        head=plan.head,
        freeze=tuple(each.use for each in config.freeze),
        train=tuple(each.use for each in config.train),
        classes=plan.classes,
        epochs=len(history),
        best_epoch=best.epoch,
        monitor=config.training.monitor,
        val=best.val,
        test=test,
        seconds=sum(record.seconds for record in history),
        trainable_parameters=plan.trainable_numel,
        frozen_parameters=plan.frozen_numel,
        frozen_digest_before=before,
        frozen_digest_after=after,
        plan_digest=plan.digest(),
        cache=cache,
        speedup=_speedup(plan, history[position.phases[-1].epoch :] or history, cache),
        warnings=plan.warnings,
        phases=tuple(position.phases),
    )


def _speedup(plan: Plan, history: Sequence[EpochRecord], cache: CacheCost) -> float | None:
    if not cache.pass_seconds or history[0].penalty is not None:
        return None
    images = plan.images["train"] + plan.images["val"]
    saved = cache.pass_seconds * images / (plan.images["train"] * plan.cache.views + plan.images["val"])
    epoch = statistics.median(record.seconds for record in history)
    return (saved + epoch) / epoch
