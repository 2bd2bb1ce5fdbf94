"""What came of a run, as plain data."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ft.config.schema import PREDICT_PRECISION, Config
from ft.extension.tasks import Figure
from ft.plan.records import CacheCost, Plan
from ft.run.position import EpochRecord, Phase, Position, Tried, epochs_averaged
from ft.run.records import PhaseBegun
from ft.task.evaluation import Evaluation
from ft.task.measured import Before, Measured
from ft.task.sure import Judged
from ft.text.counting import number_of
from ft.text.names import typed


@dataclass(frozen=True)
class Report:
    """What the saved model does, and the proof that what was frozen did not move.

    `val` and `test` are measured on the saved model as `ft evaluate` measures it; how far the figures can be trusted of
    the latter, or else of the former, is `judged`. `chosen_by` are the figures by which
    the best epoch was chosen: on the validation images, as training saw them. `penalty` is that of the best fit by an
    optimizer that solves. `speedup` is how many times longer an epoch would have taken had it computed what was
    computed once, batch by batch as the pass did once it was under way; None where that was not measured.
    `frozen_digest_before` and `..._after` are sha256 over every frozen parameter and every buffer of frozen modules.
    `tried` are the candidates, where heads trained side by side. `adapted` is how many layers have low-rank adapters,
    which were merged into their weights when the model was saved, after the digests.
    `phases` are what the run was asked for, one after the other. Of a run in phases, `each_phase` says what became of
    each, with the digests of what was frozen in it.
    `averaged` are the epochs whose weights, averaged, are the saved ones, the last of which then is `best_epoch`.
    Of a run on a time budget, `time_budget` says what was asked for, what was cut and what ended early, and after how
    many `seconds` it was done, where that was in one process.
    Of a run that started from another one, `before` says how that does on the same validation images.
    """

    backbone: str
    weights: str
    head: tuple[str, ...]
    freeze: tuple[str, ...]
    train: tuple[str, ...]
    task: str
    classes: tuple[str, ...]
    images: Mapping[str, int]
    epochs: int
    best_epoch: int
    monitor: str
    penalty: float | None
    chosen_by: Mapping[str, float]
    precision: str
    val: Evaluation
    test: Evaluation | None
    judged: Judged
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
    each_phase: tuple[PhaseBegun, ...] = ()
    tried: tuple[Tried, ...] = ()
    averaged: tuple[int, ...] = ()
    time_budget: Mapping[str, Any] | None = None
    adapted: int = 0
    before: Before | None = None

    @property
    def saved(self) -> str:
        """Which epoch was saved, or the average of which."""
        return f"the average of {epochs_averaged(self.averaged)}" if self.averaged else f"epoch {self.best_epoch}"

    def plain(self) -> dict[str, Any]:
        """What report.json holds."""
        measured = {"val": self.val.plain(), "test": None if self.test is None else self.test.plain()}
        bare = replace(self, each_phase=(), tried=(), before=None)
        content = {**asdict(bare), **measured, "judged": self.judged.plain()}
        del content["each_phase"], content["tried"], content["before"]
        if self.time_budget is None:
            del content["time_budget"]
        each = [phase.model_dump(mode="json") for phase in self.each_phase]
        tried = [candidate.plain() for candidate in self.tried]
        if not self.adapted:
            del content["adapted"]
        content |= {"before": self.before.plain()} if self.before else {}
        return content | ({"each_phase": each} if each else {}) | ({"candidates": tried} if tried else {})


@dataclass(frozen=True, eq=False)
class Outcome:
    """What there is once training is over: how far it came, how far it had come at its best, digests of what is frozen
    from before and after, what was computed once, the figures of the saved model, the phases of a run in phases, and
    what became of a time budget."""

    position: Position
    best: Position
    frozen_before: str
    frozen_after: str
    cost: CacheCost
    measured: Measured
    each_phase: tuple[PhaseBegun, ...] = ()
    time_budget: Mapping[str, Any] | None = None


def make_report(config: Config, plan: Plan, outcome: Outcome) -> Report:
    """Sum up a run. That what is frozen differs from before is a bug, never a result."""
    before, after, position = outcome.frozen_before, outcome.frozen_after, outcome.position
    assert before == after, f"frozen tensors moved: digest {before} became {after}"
    history = position.history
    averaged = outcome.best.averaged
    best_epoch = max(averaged.of) if averaged else outcome.best.epoch
    best = history[best_epoch - 1]
    return Report(
        backbone=plan.backbone,
        weights=plan.weights,
        head=plan.head,
        freeze=tuple(each.use for each in config.freeze),
        train=tuple(each.use for each in config.train),
        task=plan.task,
        classes=plan.classes,
        images=plan.images,
        epochs=len(history),
        best_epoch=best_epoch,
        monitor=str(config.training.monitor),
        penalty=best.penalty,
        chosen_by=averaged.val if averaged else best.val,
        precision=plan.precision,
        val=outcome.measured.val,
        test=outcome.measured.test,
        judged=outcome.measured.judged,
        seconds=sum(record.seconds for record in history),
        trainable_parameters=plan.trainable_numel,
        frozen_parameters=plan.frozen_numel,
        frozen_digest_before=before,
        frozen_digest_after=after,
        plan_digest=plan.digest(),
        cache=outcome.cost,
        speedup=_speedup(plan, history[position.phases[-1].epoch :] or history, outcome.cost),
        warnings=plan.warnings,
        phases=tuple(position.phases),
        each_phase=outcome.each_phase,
        tried=tuple(position.tried),
        averaged=tuple(sorted(averaged.of)) if averaged else (),
        time_budget=outcome.time_budget,
        adapted=len(plan.adapters),
        before=outcome.measured.before,
    )


def doubts(report: Report, run: Path) -> Iterator[str]:
    """Yield what whoever reads the figures of the report may not expect."""
    figure = report.val.about[0]
    if differs := _difference(figure, report.chosen_by[figure.name], report.val[figure.name], report.images["val"]):
        how = measured_otherwise(report.cache.promise, report.precision) or f"in {report.precision}"
        yield (
            f"{report.saved} was chosen where {figure.title} was "
            f"{figure.written(report.chosen_by[figure.name])} {how}; the saved model, in {PREDICT_PRECISION} as ft "
            f"predict runs it, gets {figure.written(report.val[figure.name])}{differs}"
        )
    change = _last_change(report.phases)
    if change is not None and report.best_epoch <= change.epoch < report.epochs:
        yield (
            f"the best epoch, {report.best_epoch}, is from before the freeze changed: nothing of the "
            f"{number_of(report.epochs - change.epoch, 'epoch')} since then is in the model. The last state is in "
            f"last.pt, from which this goes on: {longer(report.epochs, bool(report.each_phase), run)}"
        )


def _difference(figure: Figure, chosen_by: float, found: float, images: int) -> str:
    """What to add where a figure differs by more than an image may make; "" where it does not differ so much."""
    if figure.of_images:
        more = round(chosen_by * images) - round(found * images)
        return f": {abs(more)} of {images} images {'fewer' if more > 0 else 'more'}" if abs(more) > 1 else ""
    return f", on {images} images" if abs(chosen_by - found) > max(abs(chosen_by), abs(found)) / images else ""


def measured_otherwise(promise: str, precision: str) -> str:
    """How the epochs of a run were measured, where their figures may differ from the saved model's; else ""."""
    if promise in ("close", "fast"):
        return f"on features kept {'in bf16' if promise == 'fast' else 'of folded layers'} (--cache {promise})"
    return "" if precision == PREDICT_PRECISION else f"in {precision}"


def longer(epochs: int, in_phases: bool, run: Path) -> str:
    """How a run that has done so many epochs goes on."""
    if in_phases:
        return f"add a phase to {run / 'config.yaml'}, and then {typed('ft', 'run', '--resume', run)}"
    return typed("ft", "run", "--resume", run, "--epochs", epochs + 5)


def _last_change(phases: Sequence[Phase]) -> Phase | None:
    """The phase with which the freeze last became another one."""
    changed = [now for then, now in pairwise(phases) if (then.freeze, then.train) != (now.freeze, now.train)]
    return changed[-1] if changed else None


def _speedup(plan: Plan, history: Sequence[EpochRecord], cache: CacheCost) -> float | None:
    if not cache.pass_seconds or history[0].penalty is not None:
        return None
    images = plan.images["train"] + plan.images["val"]
    saved = cache.pass_seconds * images / (plan.images["train"] * plan.cache.views + plan.images["val"])
    epoch = statistics.median(record.seconds for record in history)
    return (saved + epoch) / epoch
