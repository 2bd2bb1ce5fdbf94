"""The kinds of extension: for each a line, from which all that ft does with components of it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True)
class Key:
    """A key of the config whose value names a component, or a list of them: `several`.

    `path` is the key as `--set` takes it, `flag` what sets it on the command line, and `about` what the help says of
    that. `words` may stand there beside references, each with what it means. A path without a dot that the config's
    schema does not define itself becomes a key of it; `default` is then what it names where nobody names anything, and
    `example` what a message shows.
    """

    path: str
    flag: str = ""
    about: str = ""
    several: bool = False
    default: str = ""
    example: str = ""
    words: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Kind:
    """A kind of extension: everything that ft does with components of every kind follows from this line.

    `name` is that of `ft describe KIND:NAME`, `noun` what messages call a component, `callables` what its record must
    hold, the one that does the work last. `keys` are where a config names components, first the one whose settings are
    `--set KEY.SETTING=VALUE`. `named_alone` is False where a reference needs what stands after the colon, and
    `takes_argument` where nothing may stand there. `hint` says what may have been meant by a name that is none, NAME.

    Components of a kind without callables are files of packages, which the record's `file` names. They are laid under a
    config as that is read, so that nothing of them is looked for later.

    `command` is one that takes the flag of the first key. Of a kind that no config names, `asked` is the key that such
    a command has instead.
    """

    name: str
    hook: str
    record: type[Any]
    noun: str
    callables: tuple[str, ...]
    keys: tuple[Key, ...]
    named_alone: bool = True
    takes_argument: bool = True
    hint: str = ""
    command: str = "ft run --backbone torchvision:resnet18"
    asked: Key | None = None

    @property
    def key(self) -> Key:
        """Where a component is named first."""
        return self.asked or self.keys[0]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "backbone",
            "ft_backbone_providers",
            BackboneProvider,
            "backbone provider",
            ("models", "build"),
            (Key("backbone", "--backbone", "PROVIDER:MODEL, as in torchvision:resnet18"),),
            named_alone=False,
        ),
        Kind(
            "freeze",
            "ft_freeze_strategies",
            FreezeStrategy,
            "freezing strategy",
            ("select",),
            (
                Key(
                    "freeze",
                    "--freeze",
                    "freezing strategy, as in all, depth:3, 'regex:layer[12].*'; repeat to add",
                    several=True,
                ),
                Key(
                    "train",
                    "--train",
                    "takes away from what --freeze froze; repeat to take away more",
                    several=True,
                ),
                Key("groups.match"),
                Key("lora.match", several=True),
                Key("phases.freeze", several=True),
                Key("phases.train", several=True),
            ),
            hint="If NAME is a layer: 'regex:NAME', or until:NAME for it and all from the input up to it",
        ),
        Kind(
            "head",
            "ft_head_builders",
            HeadBuilder,
            "head builder",
            ("build",),
            (
                Key(
                    "head",
                    "--head",
                    "head builder, as in linear or mlp; keep: the pretrained classifier; grow: that of --from RUN, "
                    "with rows for new classes",
                    words={
                        "keep": "the pretrained classifier, or that of --from RUN",
                        "grow": "that of --from RUN, with rows for new classes",
                    },
                ),
            ),
            takes_argument=False,
        ),
        Kind(
            "weights",
            "ft_weight_sources",
            WeightSource,
            "weight source",
            ("fetch",),
            (
                Key(
                    "weights",
                    "--weights",
                    "none, default, an entry, or local:PATH, mirror:URL, pip:PACKAGE, official",
                    words={"none": "random weights", "default": "the first of the model's entries"},
                ),
                Key(
                    "weights.sources",
                    "--weight-source",
                    "weight source to try after the cache; repeat for more",
                    several=True,
                ),
            ),
        ),
        Kind(
            "data",
            "ft_data_sources",
            DataSource,
            "data source",
            ("load",),
            (Key("data", "--data", "a folder, folder:PATH, csv:FILE, or another data source"),),
        ),
        Kind(
            "task",
            "ft_vision_tasks",
            Task,
            "task",
            ("encode", "loss", "meter", "predict", "space"),
            (Key("task", "--task", "what a label is, as in classification, multilabel, regression"),),
            takes_argument=False,
        ),
        Kind(
            "augmentation",
            "ft_augmentations",
            Augmentation,
            "augmentation",
            ("build",),
            (
                Key(
                    "images.augment",
                    "--augment",
                    "how training images vary, as in flip; auto: none if only the head trains, else standard",
                    words={"auto": "none if only the head trains, else standard"},
                ),
                Key("phases.augment", words={"auto": "none if only the head trains, else standard"}),
            ),
            takes_argument=False,
        ),
        Kind(
            "optimizer",
            "ft_optimizers",
            Optimizer,
            "optimizer",
            ("build",),
            (
                Key(
                    "training.optimizer",
                    "--optimizer",
                    "what takes the steps, as in adamw or sgd; or lbfgs: solves for a linear head on kept features",
                ),
                Key("phases.optimizer"),
            ),
            takes_argument=False,
        ),
        Kind(
            "tracker",
            "ft_run_trackers",
            Tracker,
            "tracker",
            ("track",),
            (
                Key(
                    "trackers",
                    "--tracker",
                    "who is told of the run, as csv or mlflow; repeat for more",
                    several=True,
                    example="csv",
                ),
            ),
            takes_argument=False,
        ),
        Kind(
            "recipe",
            "ft_training_recipes",
            Recipe,
            "recipe",
            (),
            (Key("recipe", "--recipe", "a way to train, as lp-ft, or a file, ./my.yaml; all else goes over it"),),
            takes_argument=False,
            hint="A file's name ends in .yaml: --recipe ./NAME.yaml",
        ),
        Kind(
            "exporter",
            "ft_model_exporters",
            Exporter,
            "exporter",
            ("load", "export"),
            (),
            takes_argument=False,
            command="ft export runs/latest",
            asked=Key("format", "--format", "the form in which the model is written, as onnx", example="onnx"),
        ),
    )
}
