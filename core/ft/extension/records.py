"""The records that plugins and ft hand to each other: a backbone, its stages, a weight entry, a sample.

A record names its implementation lazily, as "package.module:name", so that listing plugins never imports torch.
A callable does as well as such a string, which is handy in a test or a file of one's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ft.extension.tasks import Label

if TYPE_CHECKING:
    from torch import nn

API_VERSION = 2
"""The version of this contract. ft takes plugins made for it and for the one before: `FT_API` in a plugin's module."""

Lazy = str | Callable[..., Any]
"""A callable, or where to find one: "package.module:name"."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the tensor a backbone was trained on.

    An image is resized so that its shorter side has `resize_size` pixels, its centre `crop_size` x `crop_size` is cut
    out, values are scaled to 0..1, and `(value - mean) / std` is taken per channel (RGB). `fit` says what happens to
    an image that is not square: "crop" is the above; "squash" resizes to the square without cutting; "pad" resizes the
    longer side to the square and fills the rest with the mean. Of images with more than 8 bits, the values in
    `value_range` become 0 to 255; None is 0 to 65535.
    """

    crop_size: int = 224
    resize_size: int = 256
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    fit: Literal["crop", "squash", "pad"] = "crop"
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class WeightEntry:
    """What pretrained tensors there are; where they come from is a WeightSource's matter.

    `sha256` is the whole digest or a prefix of it, as far as it is published. `size` is exact, in bytes, and is
    checked; `approximate_size` is what a publisher rounded, for display only. `source` is the reference of the weight
    source that has the file when the user names none: "official" fetches `url`.
    """

    name: str
    file_name: str
    url: str = ""
    sha256: str = ""
    size: int | None = None
    approximate_size: int | None = None
    preprocessing: Preprocessing = Preprocessing()
    num_classes: int = 1000
    classes: tuple[str, ...] = ()
    source: str = "official"
    note: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a network before it is built, for whoever chooses one; None is what is not published.

    `parameters` are those of the published network, classifier included; `flops` the multiply-adds of one image of the
    published size; `accuracy` the ImageNet-1k top-1 in percent that is published for the default weight entry.
    `recommended` says in a sentence why somebody would choose this one, and is for a handful at most. What is there
    `for_tests` of programs, and is of no use otherwise, is listed last.
    """

    parameters: int | None = None
    flops: int | None = None
    accuracy: float | None = None
    recommended: str = ""
    for_tests: bool = False


@dataclass(frozen=True)
class Stage:
    """An ordered section of the backbone: the paths of its modules, or of single parameters outside any of them."""

    name: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, as a provider built it.

    `module` still holds its published classifier; ft replaces what lies at `head_paths`: the classifier first, then
    auxiliary classifiers, with feature sizes `aux_dims` and losses weighted by `aux_loss_weight`. In train mode a
    network with auxiliary classifiers returns a tuple: logits first. `stages` go from input to output and cover every
    parameter outside the head. `head_form` says what the classifier takes: "vector" is [N, feature_dim], "map" is
    [N, feature_dim, H, W] (its output is pooled after it). `pooled_after` are the modules, without parameters, that
    stand between such a classifier and the network's output, which they pool, or () where that is done before it: a
    new head then pools first and takes a vector, and they become the identity. Where it is None, nobody says, and a new
    head classifies every position, which no optimizer solves for. `pool_path` is the module, without parameters, that
    pools the last feature map [N, feature_dim, H, W] to [N, feature_dim, 1, 1] and that a head may replace, or "" where
    there is none; parameters inside it are the head's. `unused_weights` are prefixes of tensor names that weight
    files hold and this module deliberately lacks. `name` is what messages call it; ft fills in the model's name.
    `rename_weights` turns a tensor name of an older weight file into the module's own name for it (DenseNet's files say
    `norm.1` where the module says `norm1`).
    """

    module: nn.Module
    head_paths: tuple[str, ...]
    stages: tuple[Stage, ...]
    feature_dim: int
    preprocessing: Preprocessing = Preprocessing()
    head_form: Literal["vector", "map"] = "vector"
    pool_path: str = ""
    aux_dims: tuple[int, ...] = ()
    aux_loss_weight: float = 0.0
    min_image_size: int = 1
    fixed_image_size: int | None = None
    unused_weights: tuple[str, ...] = ()
    rename_weights: Callable[[str], str] | None = None
    name: str = ""
    pooled_after: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.name or type(self.module).__name__

    def parameter_names(self) -> tuple[str, ...]:
        """Names of all parameters outside the head, in the module's order; a shared parameter has several names."""
        named = self.module.named_parameters(remove_duplicate=False)
        return tuple(name for name, _ in named if not self.in_head(name))

    def module_paths(self) -> tuple[str, ...]:
        """Paths of all modules outside the head, in the module's order; the root ("") is left out."""
        named = self.module.named_modules(remove_duplicate=False)
        return tuple(path for path, _ in named if path and not self.in_head(path))

    def parameters_under(self, *paths: str) -> tuple[str, ...]:
        """Names of the parameters that are at, or inside, any of `paths`."""
        return tuple(n for n in self.parameter_names() if any(n == p or n.startswith(p + ".") for p in paths))

    def in_head(self, name: str) -> bool:
        """Whether a module path or parameter name lies in a classifier, or in the pooling that came with a new one."""
        if self.pool_path and name.startswith(self.pool_path + "."):
            return True
        return any(name == path or name.startswith(path + ".") for path in self.head_paths)


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image: the file at `path`, or what `open` returns. `split` is "train", "val", "test" or None, for
    "ft may choose".

    `open` takes no argument and returns encoded bytes, a path, a PIL image, or an array [height, width] or
    [height, width, 3] of uint8 (also [height, width] of uint16). It is called when the image is needed, several times
    in a run, in threads and in other processes, which on some systems it has to be pickled for: a function of a module,
    or a functools.partial of one. `key` then stands for the path in splits, lists and messages: a name that is this
    image's alone and the same each time. `group` is what an image has in common with those that it is never to be
    parted from in a split, as its patient: given where the source was asked for it.

    `label` is a text, which the task reads, as the name of a class; or the texts of several columns by their names.

    `state` says by what an image that `open` returns is known to be unchanged: where it is what it was when its image
    was read, the image is not read again at the next start. It is the state of the file that the image lies in
    (`ft.file_state`), say; "" where nobody can tell.
    """

    path: Path | None = None
    label: Label = ""
    split: Literal["train", "val", "test"] | None = None
    open: Callable[[], Any] | None = None
    key: str = ""
    group: str | None = None
    state: str = ""


@dataclass(frozen=True)
class Candidate:
    """What one of several heads that train side by side trains with: its peak learning rate, its weight decay, and the
    number of its first values. The head of `seed` 0 begins as the run's own does, others with values of their own."""

    lr: float
    weight_decay: float
    seed: int = 0

    def __str__(self) -> str:
        begun = f", seed {self.seed}" if self.seed else ""
        return f"lr {self.lr:g}, weight decay {self.weight_decay:g}{begun}"


@dataclass(frozen=True)
class Remark:
    """What a data source says beside the samples it yields: how it read them, what it left out.

    `warns` says that the user may not have meant it.
    """

    text: str
    warns: bool = False
