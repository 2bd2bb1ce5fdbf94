"""The contract with plugins: a hook for each kind, which yields records. Each docstring is a complete plugin module."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from ft.extension.exporters import Exporter
from ft.extension.extensions import (
    Augmentation,
    BackboneProvider,
    DataSource,
    FreezeStrategy,
    HeadBuilder,
    Optimizer,
    Recipe,
    Task,
    Tracker,
    WeightSource,
)

hookspec = pluggy.HookspecMarker("ft")
hookimpl = pluggy.HookimplMarker("ft")


@hookspec
def ft_backbone_providers() -> Iterable[BackboneProvider]:
    """Yield providers of pretrained networks.

    from ft import Backbone, BackboneProvider, Stage, hookimpl

    def models(settings):
        return ["tiny"]

    def build(model_name, settings):
        from torch import nn
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
        return Backbone(net, head_paths=("4",), stages=(Stage("conv", ("0",)),), feature_dim=8)

    @hookimpl
    def ft_backbone_providers():
        yield BackboneProvider("mine", "A one-layer network", models=models, build=build)
    """


@hookspec
def ft_freeze_strategies() -> Iterable[FreezeStrategy]:
    """Yield strategies that decide which parameters stay frozen.

    from ft import FreezeStrategy, hookimpl

    def select(backbone, argument, settings):
        return {name for name in backbone.parameter_names() if name.endswith("weight")}

    @hookimpl
    def ft_freeze_strategies():
        yield FreezeStrategy("weights-only", "Freeze every weight, train every bias", select=select)
    """


@hookspec
def ft_head_builders() -> Iterable[HeadBuilder]:
    """Yield builders of the layers that map features to classes.

    from ft import HeadBuilder, hookimpl

    def build(feature_dim, num_classes, settings):
        from torch import nn
        return nn.Sequential(nn.LayerNorm(feature_dim), nn.Linear(feature_dim, num_classes))

    @hookimpl
    def ft_head_builders():
        yield HeadBuilder("normed", "A linear layer on normalised features", build=build)
    """


@hookspec
def ft_weight_sources() -> Iterable[WeightSource]:
    """Yield places that weight files come from.

    from pathlib import Path
    from ft import WeightSource, hookimpl

    def fetch(entry, argument, settings, cache):
        return cache.verify(entry, Path("/net/weights") / entry.file_name)

    @hookimpl
    def ft_weight_sources():
        yield WeightSource("lab", "Our lab's file server", fetch=fetch)
    """


@hookspec
def ft_data_sources() -> Iterable[DataSource]:
    """Yield places that labelled images come from.

    from pathlib import Path
    from ft import DataSource, Sample, hookimpl

    def load(argument, settings):
        for path in sorted(Path(argument).glob("*.jpg")):
            yield Sample(path, label=path.stem.split("_")[0])

    @hookimpl
    def ft_data_sources():
        yield DataSource("prefixed", "cat_001.jpg, dog_002.jpg: the label is in the name", load=load)
    """


@hookspec
def ft_optimizers() -> Iterable[Optimizer]:
    """Yield optimizers.

    from ft import Optimizer, hookimpl

    def build(groups, settings):
        import torch
        return torch.optim.Adamax(groups)

    @hookimpl
    def ft_optimizers():
        yield Optimizer("adamax", "Adam by the largest gradient", build=build, lr=2e-4, head_lr=2e-3, weight_decay=0.0)
    """


@hookspec
def ft_run_trackers() -> Iterable[Tracker]:
    """Yield listeners to what runs tell.

    from ft import EpochDone, RunStarted, Tracker, hookimpl, publish_text

    def track(settings):
        folders = []

        def listen(event):
            if isinstance(event, RunStarted):
                folders.append(event.folder)
            elif isinstance(event, EpochDone):
                publish_text(folders[0] / "latest.txt", f"epoch {event.record.epoch}, {event.record.figures()}")

        return listen

    @hookimpl
    def ft_run_trackers():
        yield Tracker("latest", "The latest epoch's figures, in latest.txt", track=track)
    """


@hookspec
def ft_vision_tasks() -> Iterable[Task]:
    """Yield what may be asked of a network.

    from dataclasses import dataclass
    from ft import Answer, Figure, LabelSpace, Task, hookimpl

    @dataclass(frozen=True)
    class Brightness(Answer):
        value: float

    def space(labels, settings):
        return LabelSpace(("brightness",))

    def encode(labels, space, settings):
        return [(float(label),) for label in labels]

    def loss(space, settings, targets):
        from torch.nn.functional import mse_loss
        return mse_loss

    class Meter:
        def __init__(self, space, settings):
            self.squares, self.images = 0.0, 0

        def add(self, outputs, targets):
            self.squares += float((outputs - targets).square().sum())
            self.images += len(targets)

        def merge(self, other):
            self.squares, self.images = self.squares + other.squares, self.images + other.images

        def figures(self):
            return {"loss": self.squares / self.images, "rmse": (self.squares / self.images) ** 0.5}

        def tables(self):
            return ()

    def predict(outputs, space, settings):
        return [Brightness(value) for value in outputs[:, 0].tolist()]

    @hookimpl
    def ft_vision_tasks():
        yield Task("brightness", "How bright an image looks", space=space, encode=encode, loss=loss, meter=Meter,
                   predict=predict, figures=(Figure("rmse", "RMSE", larger_is_better=False),),
                   labels=("0", "0.2", "0.5", "1"))
    """


@hookspec
def ft_augmentations() -> Iterable[Augmentation]:
    """Yield ways in which training images vary.

    from ft import Augmentation, hookimpl

    def build(preprocessing, settings):
        from torchvision.transforms import v2
        return v2.RandomGrayscale(0.2)

    @hookimpl
    def ft_augmentations():
        yield Augmentation("grey", "Some images without colour", build=build)
    """


@hookspec
def ft_training_recipes() -> Iterable[Recipe]:
    """Yield ways to train: files of a package, each a part of a config.

    from ft import Recipe, hookimpl

    @hookimpl
    def ft_training_recipes():
        yield Recipe("ours", "Our lab's way: the head, then the last stage", file="ft_ours:ours.yaml")
    """


@hookspec
def ft_model_exporters() -> Iterable[Exporter]:
    """Yield forms in which a model is taken along.

    from ft import Exporter, hookimpl

    USE = (
        "import torch\\n\\n"
        "program = torch.export.load(folder / 'program.pt2').module()\\n\\n\\n"
        "def model(images):\\n"
        "    return program(torch.from_numpy(images))[0].detach().numpy()\\n"
    )

    def export(model, folder, settings):
        import torch
        sizes = {"images": {0: torch.export.Dim.DYNAMIC}}
        program = torch.export.export(model.module, (model.example,), dynamic_shapes=sizes)
        torch.export.save(program, folder / "program.pt2", extra_files={"outputs": " ".join(model.outputs)})

    def load(folder):
        import torch
        texts = {"outputs": ""}
        program = torch.export.load(folder / "program.pt2", extra_files=texts).module()
        return lambda images: dict(zip(texts["outputs"].split(), (
            output.detach().numpy() for output in program(torch.from_numpy(images)))))

    @hookimpl
    def ft_model_exporters():
        yield Exporter("program", "A program of torch.export", export=export, load=load, file="program.pt2", use=USE)
    """
