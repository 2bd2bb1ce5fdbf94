"""The records of extensions, one for each kind: what plugins hand to ft."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from ft.extension.records import Lazy
from ft.extension.tasks import Figure, Label, Noun

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class BackboneProvider:
    """Builds backbones.

    `models(settings) -> Sequence[str]`, `weights(model_name) -> Sequence[WeightEntry]` (the default one first) and
    `build(model_name, settings) -> Backbone` with random weights. `facts(model_name) -> ModelFacts` tells what `ft
    models` shows beside the names. Unless it `lists_all`, `build` takes other names.
    A name that stands for code is written as ft writes code, FILE.py:NAME or PACKAGE.MODULE:NAME, so that a file from
    elsewhere cannot have it run unasked.
    """

    name: str
    summary: str
    models: Lazy
    build: Lazy
    weights: Lazy | None = None
    settings: type[BaseModel] | str | None = None
    lists_all: bool = True
    facts: Lazy | None = None


@dataclass(frozen=True)
class FreezeStrategy:
    """Decides what is frozen: `select(backbone, argument, settings) -> set of parameter names`.

    It never touches `requires_grad`; ft applies the decision in one place. `argument` is the text after the first
    colon of the reference, or None. A strategy that selects nothing is the user's mistake unless `allows_empty`; of one
    that is `optional`, as it freezes what a network may lack, nothing is said where it adds nothing to others.

    With `needs_data` it is `select(backbone, argument, settings, batches)`: an iterable, each time from the beginning,
    of (images [N, 3, S, S], targets [N, ...]) of the training set, in an order that follows from the seed,
    preprocessed as in evaluation and on the module's device. The module then has its pretrained weights and the new
    head, to whose outputs the targets belong, and is in eval mode. A `select` that has a fifth parameter, `loss`, is
    given what training will minimise: `loss(outputs, targets)`.
    """

    name: str
    summary: str
    select: Lazy
    settings: type[BaseModel] | str | None = None
    example: str = ""
    allows_empty: bool = False
    optional: bool = False
    needs_data: bool = False


@dataclass(frozen=True)
class HeadBuilder:
    """Builds the layers that map features to outputs: `build(feature_dim, num_classes, settings) -> nn.Module`.

    The module takes [N, feature_dim] and returns [N, num_classes], which is as many outputs as the task needs: one for
    each class, label or target. `build_map`, where given, builds its counterpart for backbones that classify every
    position and do not say what pools afterwards: [N, feature_dim, H, W] to [N, num_classes, H, W].
    `build_pool(feature_dim, settings)`, where given, builds what pools the backbone's last feature map for this head:
    [N, feature_dim, H, W] to [N, feature_dim, 1, 1]. It replaces the module at the backbone's `pool_path`.

    `reads(stages, settings) -> Sequence[str] | None`, where given, says of which stages of the backbone, among those of
    these names, the head gets the outputs, too, each averaged over places and normalised, in front of the features:
    `feature_dim` is then the number of all of them. Of a network whose stages cannot be read, it is asked with none:
    None then says that the head cannot do without, and all else that it reads the features alone.

    `class_rows(head) -> Sequence[str]`, where given, names the tensors of a head that it built in which each output has
    a row of its own, the first dimension; all others are the same for any number of outputs. Such a head can learn
    further classes and keep what it knows (`--head grow`).
    """

    name: str
    summary: str
    build: Lazy
    build_map: Lazy | None = None
    build_pool: Lazy | None = None
    class_rows: Lazy | None = None
    reads: Lazy | None = None
    settings: type[BaseModel] | str | None = None


@dataclass(frozen=True)
class WeightSource:
    """Where weights come from: `fetch(entry, argument, settings, cache) -> Path` of a verified local file.

    `is_here(entry, argument) -> bool`, where given, says whether the file already is on this machine outside the cache.
    It reads no file and asks no network.
    """

    name: str
    summary: str
    fetch: Lazy
    settings: type[BaseModel] | str | None = None
    example: str = ""
    is_here: Lazy | None = None


@dataclass(frozen=True)
class DataSource:
    """Where images come from: `load(argument, settings) -> Iterable[Sample | Remark]`.

    A `load` that has a parameter `cache` is given a DataCache with it; one that has a parameter `group` the name of a
    column, or None: each Sample's `group` is then what that says of it. Labels are class names; the core maps them to
    numbers, splits what has no split, and checks every image.
    """

    name: str
    summary: str
    load: Lazy
    settings: type[BaseModel] | str | None = None
    example: str = ""


@dataclass(frozen=True)
class Augmentation:
    """Varies training images: `build(preprocessing, settings) -> transform`, as those of torchvision's v2.

    The transform is called with an image as evaluation sees it, uint8 [3, S, S], S being `preprocessing.crop_size`,
    and returns another one of that form. It draws from the generators of torch, `random` and numpy, which follow from
    the seed, the epoch and the image, and it can be pickled. With `section(settings)`, the share of the area of the
    smallest section that it cuts out, it is called with the whole image, uint8 [3, H, W], and makes the square itself.
    One that does not `vary` leaves images as they are, and nothing is built.

    `positions(settings) -> Sequence[transform]`, where given, is all that it makes of a square, where that is a handful
    and each is made as often as the others, else nothing: functions of uint8 [..., S, S] that draw nothing and can be
    pickled, the one that changes nothing first. Views that are replayed, and those of an image that is asked about
    (`--tta views:N`), are then these, and none is drawn.
    """

    name: str
    summary: str
    build: Lazy
    settings: type[BaseModel] | str | None = None
    section: Lazy | None = None
    varies: bool = True
    positions: Lazy | None = None


@dataclass(frozen=True)
class Optimizer:
    """Takes the steps: `build(groups, settings) -> torch.optim.Optimizer`.

    `groups` are torch's param groups: mappings with "params", "lr", the peak, and "weight_decay". ft sets the "lr" of
    each group of the optimizer before each step, and saves `optimizer.state` by parameter name. `lr`, `head_lr` and
    `weight_decay` are used where nobody names others. `state(settings)`, where given, says how many values are kept for
    each parameter.

    One that `solves` takes no steps on batches: its `step(closure)` minimises, in at most the group's "max_iter"
    iterations and down to its "tolerance_grad", what a closure computes with its gradients, and leaves their number in
    `state[parameter]["n_iter"]`. It fits a linear head to all images at once, for each of its settings' `penalties`.

    One with `candidates(settings) -> Sequence[Candidate]` trains a linear head for each of them side by side, of which
    the best on validation images stays. Its parameters then have a row for each candidate, as do "lr" and
    "weight_decay" of their groups, which are tensors of as many dimensions as the parameter, all but the first of
    size 1; each row steps as it would alone.
    """

    name: str
    summary: str
    build: Lazy
    settings: type[BaseModel] | str | None = None
    lr: float = 1e-4
    head_lr: float = 1e-3
    weight_decay: float = 1e-2
    state: Lazy | None = None
    solves: bool = False
    candidates: Lazy | None = None


@dataclass(frozen=True)
class Task:
    """What a label is, and what is asked of a network: the loss, the figures, the answers.

    `space(labels, settings) -> LabelSpace` follows from the labels of all training images, and raises FtError for
    labels that are not of this task. `encode(labels, space, settings) -> Sequence` gives the target of each label: a
    number, or a tuple of them; it raises FtError for a label that the space does not have. Targets of a batch are a
    tensor: [N] in int64 where they are whole numbers, [N, K] in float32 where they are tuples of float.

    `loss(space, settings, targets) -> Loss` is made once, knowing the targets of all training images; `meter(space,
    settings) -> Meter` once for each evaluation. Besides "loss", a meter tells the `figures`: the first one decides
    which epoch is the best, unless the user names another. `predict(outputs, space, settings) -> Sequence[Answer]`
    reads outputs [N, K] in float32 on the CPU.

    Where given: `strata(labels, settings) -> Sequence[Hashable]` says which images are alike, of each kind of which a
    share is set aside. `remarks(targets, space, settings) -> Iterable[Remark]` looks at the targets of "train", "val"
    and "test", each a tensor. `tally(outputs, targets, space, settings) -> Tensor [N]` gives a value for each image of
    a training step, whose mean over an epoch is the training's `tally_name`. `shares(targets, space, settings) ->
    Sequence[float] | None` says how often each training image is drawn, relative to the others; None is once an epoch.
    `calibrate(outputs, targets, space, settings) -> LabelSpace` chooses, on the validation images' outputs by the saved
    model, what else its answers need. `sections(outputs, targets, space, settings) -> Sequence[Section]` says what the
    run's page shows of a split, of the saved model's outputs [N, K] in float32 and the targets; pictures are named by
    their row. `guess(targets, space, settings) -> Tensor [K]` gives the outputs that answer best who has seen no image
    but knows the targets of all training images: what any figure is compared with. `uncertainty(outputs, space,
    settings) -> Tensor [N]` says how uncertain each answer is, the largest where labelling the image would teach most.
    `average(outputs, space, settings) -> Tensor [N, K]` makes one of the outputs for several views of each image
    [V, N, K], so that what is read of it is the mean of what is read of the views; without it, outputs are averaged.

    `readout(outputs, space, settings) -> Tensor` makes of outputs [N, K] what answers tell in numbers, called
    `readout_name`: an exported model gives it beside the outputs, which it calls `outputs_name`. torch.export traces
    it. `answers(outputs, space, settings) -> Sequence[Answer]` is `predict` of a numpy array [N, K] in float32, without
    torch, for models that another program computes, and `average_arrays(outputs, space, settings)` is `average` of such
    an array [V, N, K]. `meter_of_arrays(space, settings) -> Meter` is a meter that takes such arrays, of outputs and of
    targets, and tells the same; it may be the one of `meter`. Where it is given, `encode` needs no torch, either.
    `pipeline_tag` is what the Hugging Face Hub calls the task.

    `extend(labels, known, settings) -> LabelSpace`, where given, is the space of a run that starts from another one,
    whose space is `known`: with all of its names, and what its numbers say of targets, and with what labels of new
    training images add. Without it, both have to have the same names.

    `noun` is what one and several names of the label space are called, and `stratum` what a stratum is, where it is not
    that. Where it does not `blend`, mixup and its like are refused. `picks_largest` says that the largest output is the
    answer, as of classes: that is what `ft explain` explains.
    `labels` are those of a few images, four or more, to try the task with.
    """

    name: str
    summary: str
    space: Lazy
    encode: Lazy
    loss: Lazy
    meter: Lazy
    predict: Lazy
    figures: tuple[Figure, ...]
    settings: type[BaseModel] | str | None = None
    strata: Lazy | None = None
    remarks: Lazy | None = None
    tally: Lazy | None = None
    tally_name: str = ""
    shares: Lazy | None = None
    calibrate: Lazy | None = None
    extend: Lazy | None = None
    sections: Lazy | None = None
    guess: Lazy | None = None
    uncertainty: Lazy | None = None
    average: Lazy | None = None
    readout: Lazy | None = None
    readout_name: str = ""
    outputs_name: str = "outputs"
    answers: Lazy | None = None
    average_arrays: Lazy | None = None
    meter_of_arrays: Lazy | None = None
    pipeline_tag: str = ""
    noun: Noun = ("class", "classes")
    stratum: str = ""
    blend: bool = True
    picks_largest: bool = False
    labels: tuple[Label, ...] = field(default=(), hash=False)


@dataclass(frozen=True)
class Tracker:
    """Listens to runs: `track(settings) -> Callable[[Event], None]`, which is called with each event of one run.

    It is called before anything of the run is read, and says by an FtError what it needs and lacks; of a run that is
    only planned, or cannot begin, no more is heard. What it returns is told `RunStarted` first, when it opens what it
    needs, and `RunEnded` or `RunFailed` last, when it closes that. Training waits for it.
    What it raises costs a warning, and it is told nothing more; the run goes on.
    """

    name: str
    summary: str
    track: Lazy
    settings: type[BaseModel] | str | None = None


@dataclass(frozen=True)
class Recipe:
    """A way to train, as a part of a config: `file` is a YAML file in a package, as "ft_mine:lp-ft.yaml".

    The file says what a config may say, usually `phases`, and begins with a comment on where it comes from, what it
    costs and when to use it. It is laid under a user's config: what that says wins. A recipe takes no settings; what
    may be turned stands at the file's top level, where flags reach it, and what makes the recipe in its phases.
    """

    name: str
    summary: str
    file: str
    settings: ClassVar[None] = None


class Extension(Protocol):
    """What the records of all kinds have."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def settings(self) -> type[BaseModel] | str | None: ...
