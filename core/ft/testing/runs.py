"""What runs tell, made up: every kind of event, in the order in which a run tells them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft.extension.tasks import Figure, Table
from ft.tracking.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    FeaturesReady,
    ImagesReady,
    PenaltyDone,
    PhaseStarted,
    RunEnded,
    RunFailed,
    RunStarted,
)

if TYPE_CHECKING:
    from ft.plan.records import Plan
    from ft.run.position import EpochRecord
    from ft.run.report import Report

FIGURES = (Figure("accuracy", "accuracy", ".1%", of_images=True), Figure("macro_f1", "macro F1"))
CONFIG: dict[str, Any] = {
    "backbone": "torchvision:resnet18",
    "freeze": ["all"],
    "data": {"use": "demo", "size": 32},
    "training": {"epochs": 2, "lr": 0.0001, "patience": None},
    "seed": 0,
}


def told_by_run(folder: Path, before: int = 0, penalties: bool = False, fails: bool = False) -> list[Event]:
    """What a run in `folder`, which is made and gets the files that it tells of, tells of two epochs (or of two
    `penalties`), after so many of `before`."""
    from ft.run.position import Phase

    folder.mkdir(parents=True, exist_ok=True)
    records = [_epoch(number, penalties) for number in range(1, before + 3)]
    done = [
        PenaltyDone(each, 2, True, FIGURES) if penalties else EpochDone(each, 2, 3 * each.epoch, True, FIGURES)
        for each in records
    ]
    last = folder / "last.pt"
    last.write_bytes(b"")
    started: list[Event] = [
        RunStarted(folder, CONFIG, _plan(), ("a note",), before > 0, tuple(records[:before])),
        PhaseStarted(Phase(before, 0, ["all"], [], before + 2, 1e-4, 1e-3, 1.0, 0.01)),
        FeaturesReady(8, 8, 0.5),
        ImagesReady(8, 0.5),
    ]
    for each in done[before:]:
        started += [CheckpointSaved(last, each.record.epoch, 0), each]
    return [*started, RunFailed("it was stopped", stopped=True) if fails else _end(folder, records)]


def _epoch(number: int, penalty: bool) -> EpochRecord:
    from ft.run.position import EpochRecord

    train, val = (
        {"loss": 2 / number, "accuracy": 0.5},
        {"loss": 1 / number, "accuracy": 1 - 0.5 / number, "macro_f1": 0.5},
    )
    return EpochRecord(number, train, 1e-3, 0.25, val, 10.0**-number if penalty else None)


def _end(folder: Path, records: list[EpochRecord]) -> RunEnded:
    files = (folder / "config.yaml", folder / "report.json")
    for path, text in zip(files, ("seed: 0\n", "{}\n"), strict=True):
        path.write_text(text, encoding="utf-8")
    return RunEnded(_report(records), files)


def _plan() -> Plan:
    from ft.plan.records import CachePlan, Plan

    return Plan(
        backbone="torchvision:resnet18",
        weights="none (random)",
        head=("linear",),
        stages=(),
        frozen=(),
        frozen_modules=(),
        frozen_numel=10,
        trainable_numel=5,
        groups=(),
        data="demo",
        classes=("a", "b"),
        images={"train": 6, "val": 2, "test": 0},
        epochs=2,
        steps_per_epoch=3,
        warmup_steps=0,
        aux_loss_weight=0.0,
        device="cpu",
        precision="fp32",
        image_size=32,
        augment="none",
        recipe={},
        cache=CachePlan("off", "not asked for"),
        notes=(),
        warnings=(),
        selected={},
        paces={},
        figures=FIGURES,
    )


def _report(records: list[EpochRecord]) -> Report:
    from ft.plan.records import CacheCost
    from ft.run.report import Report
    from ft.task.evaluation import Evaluation
    from ft.task.sure import Judged

    best = records[-1]
    rows: tuple[dict[str, str | float], ...] = tuple({"name": name, "recall": 1.0, "support": 1} for name in "ab")
    columns = {"name": ("class", ""), "recall": ("recall", ".1%"), "support": ("images", "")}
    val = Evaluation(best.val, (Table("classes", columns, rows),), FIGURES)
    return Report(
        backbone="torchvision:resnet18",
        weights="none (random)",
        head=("linear",),
        freeze=("all",),
        train=(),
        task="classification",
        classes=("a", "b"),
        images={"train": 6, "val": 2, "test": 0},
        epochs=len(records),
        best_epoch=len(records),
        monitor="accuracy",
        penalty=best.penalty,
        chosen_by=best.val,
        precision="fp32",
        val=val,
        test=None,
        judged=Judged("val", 2),
        seconds=1.0,
        trainable_parameters=5,
        frozen_parameters=10,
        frozen_digest_before="0",
        frozen_digest_after="0",
        plan_digest="0",
        cache=CacheCost("off", "not asked for"),
        speedup=None,
        warnings=(),
        phases=(),
    )
