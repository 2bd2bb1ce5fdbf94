"""Rebuilds the model of a finished run from what the run saved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing
from ft.extension.settings import validate
from ft.extension.unpackaged import refuse_unpackaged
from ft.job import Looking
from ft.machine.devices import Machine, choose_machine, has_fast_bf16
from ft.machine.display import Display
from ft.machine.signals import StopRequest
from ft.model.backbone import build_backbone
from ft.model.head import build_model
from ft.model.layer_notes import Layers, layers_of
from ft.run.folder import Run


@dataclass(frozen=True)
class Trained:
    """A finished run's model, ready to use. `config` holds what a loader needs to know, and nothing of training."""

    module: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    config: Config
    machine: Machine
    image_list: Path
    """The table of the images of the run, which says in what splits they were."""
    layers: Layers
    """Whose the layers of the network are."""

    def looking(self, display: Display) -> Looking:
        """How it looks at images, for whoever watches on this display."""
        return Looking(self.preprocessing, self.config, self.machine, display, StopRequest())


def load_trained(run: Run, plugins: Plugins, machine: dict[str, Any], batch_size: int, trust_code: bool) -> Trained:
    """Rebuild a finished run's model from model.json and model.safetensors.

    `machine` holds the keys of the config's machine section. Raises FtError when a plugin that the model needs is not
    installed, when files are missing or do not fit, and when the model names code by file or module and `trust_code`
    is not given.
    """
    about = run.model_file()
    plugins = plugins.preferring(about.prefer)
    tree = {
        "backbone": about.backbone,
        "head": about.head,
        "weights": "none",
        "images": {"size": about.preprocessing.crop_size},
        "machine": machine,
        "training": {"batch_size": batch_size},
        "split": about.split,
    }
    config = validate(Config, tree, "")
    if not trust_code:
        refuse_unpackaged([config.backbone.use, config.head.use], f"{run.path}/model.json")
    chosen = choose_machine(config.machine)
    if config.machine.precision == "auto" and has_fast_bf16(chosen.device):  # faster where nothing trains
        chosen = replace(chosen, precision="bf16")
    built = build_backbone(config, plugins, Display(), tensors="random")
    model = build_model(built.backbone, config.head, len(about.classes), plugins, config.seed)
    run.load_model(model.module)
    module = chosen.place(model.module).eval()
    return Trained(
        module, about.classes, about.preprocessing, config, chosen, run.path / "images.csv", layers_of(built, model)
    )
