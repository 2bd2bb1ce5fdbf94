"""Rebuilds the model of a finished run from what the run saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ft.config.split import SplitConfig
from ft.config.use import UseConfig
from ft.errors import FtError
from ft.extension.installed import Component, Plugins, read_settings
from ft.extension.records import Backbone, Preprocessing, Stage
from ft.extension.settings import validate
from ft.extension.tasks import LabelSpace
from ft.extension.unpackaged import refuse_unpackaged
from ft.inference.views import Averaged, averaged_over
from ft.job import Looking
from ft.machine.devices import Machine, choose_machine, has_fast_bf16
from ft.machine.display import Display
from ft.machine.files import sha256_of
from ft.machine.memory import arrange_large_blocks
from ft.machine.signals import StopRequest
from ft.model.backbone import check_image_size, construct
from ft.model.catalogue import find_model
from ft.model.head import build_model
from ft.model.layer_notes import Layers, layers_of
from ft.run.folder import Run
from ft.run.records import ENSEMBLE, EnsembleFile, ModelFile, read_record
from ft.task.chosen import ChosenTask, choose_task


@dataclass(frozen=True, eq=False)
class Together:
    """Models whose answers are averaged, and the label space by which that is done."""

    members: tuple[Trained, ...]
    space: LabelSpace


@dataclass(frozen=True)
class Trained:
    """A finished run's model, ready to use, on a machine, in batches that so many `workers` decode."""

    module: nn.Module
    backbone: str
    """The reference of its backbone."""
    task: ChosenTask
    space: LabelSpace
    preprocessing: Preprocessing
    machine: Machine
    batch_size: int
    workers: int | Literal["auto"]
    image_list: Path
    """The table of the images of the run, which says in what splits they were."""
    split: SplitConfig
    """How the run split them."""
    layers: Layers
    """Whose the layers of the network are."""
    stages: tuple[Stage, ...]
    """The sections of its backbone, from input to output."""
    averaged: Averaged | None = None
    """In what views it is asked about each image, if not in the one that evaluation sees."""
    together: Together | None = None
    """Those whose answers are averaged, where there are several."""

    def alone(self, what: str) -> Trained:
        """Itself, being one network. Raises FtError, saying `what` is of one, for an ensemble."""
        if self.together is not None:
            folder = self.image_list.parent
            raise FtError(f"{what}: that is of one network, and {folder} holds several; ask {folder / 'member-1'}")
        return self

    @property
    def head(self) -> nn.Module:
        """What reads the features."""
        return self.module.get_submodule(self.layers.head_paths[0])

    @property
    def decided_by(self) -> dict[str, Any]:
        """What its answers follow from, beside the images, by names that people know; the model by its content."""
        run, tta = Run(self.image_list.parent), None if self.averaged is None else self.averaged.asked
        model = [sha256_of(run.path / name) for name in ("model.json", "model.safetensors")]
        kind, precision = torch.device(self.machine.device).type, self.machine.precision
        return {
            "model": model,
            "--tta": tta,
            "--device": kind,
            "--precision": precision,
            "--batch-size": self.batch_size,
        }

    def looking(self, display: Display) -> Looking:
        """How it looks at images, for whoever watches on this display."""
        return Looking(self.preprocessing, self.batch_size, self.workers, self.machine, display, StopRequest())


def load_trained(run: Run, plugins: Plugins, machine: dict[str, Any], batch_size: int, trust_code: bool) -> Trained:
    """Rebuild a finished run's model from model.json and model.safetensors.

    `machine` holds keys of the config's machine section, and perhaps `tta`. Raises FtError when a plugin that the model
    needs is not installed, when files are missing or do not fit, when the model names code by file or module and
    `trust_code` is not given, and when the run has no such views as are asked for.
    """
    if (run.path / ENSEMBLE).is_file():
        return _all_of(run, [load_trained(each, plugins, machine, batch_size, trust_code) for each in members_of(run)])
    arrange_large_blocks()
    use = validate(UseConfig, {**machine, "batch_size": batch_size}, "")
    about = run.model_file()
    plugins = plugins.preferring(about.prefer)
    if not trust_code:
        refuse_unpackaged(about.references, f"{run.path}/model.json")
    chosen = choose_machine(use)
    if use.precision == "auto" and has_fast_bf16(chosen.device):  # faster where nothing trains
        chosen = replace(chosen, precision="bf16")
    averaged = averaged_over(use.tta, run, about.preprocessing, plugins, trust_code) if use.tta else None
    provider, backbone = _without_weights(about, plugins)
    model = build_model(backbone, about.head, about.space.outputs, plugins, seed=0)
    run.load_model(model.module)
    return Trained(
        module=chosen.place(model.module).eval(),
        backbone=about.backbone.use,
        task=_task_of(about, plugins, run.path / "model.json"),
        space=about.space,
        preprocessing=about.preprocessing,
        machine=chosen,
        batch_size=use.batch_size,
        workers=use.workers,
        image_list=run.path / "images.csv",
        split=about.split,
        layers=layers_of(provider, model),
        stages=backbone.stages,
        averaged=averaged,
    )


def members_of(run: Run) -> list[Run]:
    """The runs that an ensemble holds."""
    return [Run(run.path / name) for name in read_record(run.path / ENSEMBLE, EnsembleFile).members]


def _all_of(run: Run, members: Sequence[Trained]) -> Trained:
    """The models of an ensemble as one. Raises FtError where they do not answer the same question."""
    first, file = members[0], read_record(run.path / ENSEMBLE, EnsembleFile)
    if {(each.task.name, each.space.names, each.space.outputs) for each in members} != {
        (first.task.name, first.space.names, first.space.outputs)
    }:
        raise FtError(f"{run.path / ENSEMBLE} is not what ft writes: its runs are of other classes; make it anew")
    pooled = LabelSpace(first.space.names, first.space.outputs, file.pooled)
    return replace(
        first,
        backbone=" and ".join(each.backbone for each in members),
        space=LabelSpace(first.space.names, first.space.outputs, file.numbers),
        image_list=run.path / "images.csv",
        together=Together(tuple(members), pooled),
    )


def _task_of(about: ModelFile, plugins: Plugins, path: Path) -> ChosenTask:
    """The task, which reads the numbers of its label space once. Raises FtError where they are none of its."""
    task = choose_task(about.task, plugins)
    try:
        task.predict(torch.zeros(1, about.space.outputs), about.space)
    except FtError as error:
        raise FtError(f"{path} is not what ft writes: {error}; take it from the run anew") from None
    return task


def _without_weights(about: ModelFile, plugins: Plugins) -> tuple[Component, Backbone]:
    """The provider of a model's backbone, and the backbone, whose weights are still to come."""
    provider, name = find_model(about.backbone.use, plugins)
    settings = read_settings(provider, about.backbone.settings, "backbone")
    backbone = replace(construct(provider, name, settings, seed=0, values=True), name=name)
    side = about.preprocessing.crop_size
    check_image_size(backbone, about.backbone.use, side, f"the size {side} px in model.json")
    return provider, backbone
