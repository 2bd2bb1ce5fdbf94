"""How each family of torchvision's classifiers is laid out: one row a family, from which all 80 backbones follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ft import Stage

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Family:
    """Models of one architecture. `models` is a pattern that matches their names whole.

    `stages` lists them from input to output, separated by spaces: a path is a stage of that name, `name=path+path` one
    of several parts, and `path.*` makes a stage of every child that has parameters (further parts join the last one).
    A path ending in `|MaxPool2d` makes stages `block1`, `block2`, ... of what lies between these layers.

    `pool` is the module that averages the last feature map, where there is one and nothing but the head and layers that
    keep the number of channels come after it. `min_image_size` is the side in pixels below which a forward pass fails;
    `aux_min_image_size` is the same for the auxiliary classifiers. A family with `sized` is built for one image size:
    it gives the constructor's argument for a side, and `size_step` what the side must be a multiple of. `rename` turns
    a tensor's name in the published files into today's. With `sized_by_tensors` the constructor computes numbers of
    channels with tensors.
    """

    models: str
    head: str
    stages: str
    pool: str = ""
    pooled_after: tuple[str, ...] | None = None
    min_image_size: int = 1
    aux: tuple[str, ...] = ()
    aux_loss_weight: float = 0.0
    aux_min_image_size: int = 1
    sized: Callable[[int], Mapping[str, Any]] | None = None
    size_step: Callable[[str], int] = lambda _: 1
    rename: Callable[[str], str] | None = None
    sized_by_tensors: bool = False


def _densenet_name(name: str) -> str:
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def _vit_name(name: str) -> str:
    return name.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3.")


AFTER = ("classifier.2", "classifier.3")
"""What follows SqueezeNet's classifier of positions: a ReLU of the logits, and their average."""


FAMILIES = (
    Family(
        models="alexnet",
        head="classifier.6",
        stages="features.* classifier.1 classifier.4",
        min_image_size=63,
    ),
    Family(
        models="convnext_.*",
        head="classifier.2",
        stages="stem=features.0 stage1=features.1 stage2=features.2+features.3 stage3=features.4+features.5"
        " stage4=features.6+features.7+classifier.0",
        pool="avgpool",
        min_image_size=32,
    ),
    Family(
        models="densenet.*",
        head="classifier",
        stages="stem=features.conv0+features.norm0 denseblock1=features.denseblock1+features.transition1"
        " denseblock2=features.denseblock2+features.transition2 denseblock3=features.denseblock3+features.transition3"
        " denseblock4=features.denseblock4+features.norm5",
        min_image_size=29,
        rename=_densenet_name,
    ),
    Family(models="efficientnet_.*", head="classifier.1", stages="features.*", pool="avgpool"),
    Family(
        # Szegedy et al. 2015, "Going deeper with convolutions", section 5: auxiliary losses weigh 0.3.
        models="googlenet",
        head="fc",
        stages="conv1 conv2 conv3 inception3a inception3b inception4a=inception4a+aux1.conv+aux1.fc1 inception4b"
        " inception4c inception4d=inception4d+aux2.conv+aux2.fc1 inception4e inception5a inception5b",
        pool="avgpool",
        min_image_size=15,
        aux=("aux1.fc2", "aux2.fc2"),
        aux_loss_weight=0.3,
    ),
    Family(
        # Szegedy et al. 2016, "Rethinking the Inception architecture", section 4, adds the auxiliary loss; its weight
        # of 0.4 is that of the authors' release (inception_model.py in TensorFlow's models).
        models="inception_v3",
        head="fc",
        stages="Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3 Mixed_5b Mixed_5c Mixed_5d"
        " Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e=Mixed_6e+AuxLogits.conv0+AuxLogits.conv1"
        " Mixed_7a Mixed_7b Mixed_7c",
        pool="avgpool",
        min_image_size=75,
        aux=("AuxLogits.fc",),
        aux_loss_weight=0.4,
        aux_min_image_size=299,
    ),
    Family(
        models="maxvit_t",
        head="classifier.5",
        stages="stem blocks.* classifier.3=classifier.2+classifier.3",
        pool="classifier.0",
        sized=lambda side: {"input_size": (side, side)},
        size_step=lambda _: 224,  # four halvings after a stride of 2, then windows of 7
    ),
    Family(
        models="mnasnet.*",
        head="classifier.1",
        stages="stem=layers.0+layers.1+layers.3+layers.4+layers.6+layers.7 layers.8 layers.9 layers.10 layers.11"
        " layers.12 layers.13 layers.14=layers.14+layers.15",
    ),
    Family(models="mobilenet_v2", head="classifier.1", stages="features.*"),
    Family(models="mobilenet_v3_.*", head="classifier.3", stages="features.* classifier.0"),
    Family(models="regnet_.*", head="fc", stages="stem trunk_output.*", pool="avgpool", sized_by_tensors=True),
    Family(
        models="(wide_)?resnet.*|resnext.*",
        head="fc",
        stages="stem=conv1+bn1 layer1 layer2 layer3 layer4",
        pool="avgpool",
    ),
    Family(models="shufflenet_v2_.*", head="fc", stages="conv1 stage2 stage3 stage4 conv5"),
    Family(models="squeezenet1_0", head="classifier.1", pooled_after=AFTER, stages="features.*", min_image_size=21),
    Family(models="squeezenet1_1", head="classifier.1", pooled_after=AFTER, stages="features.*", min_image_size=17),
    Family(
        models="swin_.*",
        head="head",
        stages="stem=features.0 stage1=features.1 stage2=features.2+features.3 stage3=features.4+features.5"
        " stage4=features.6+features.7+norm",
        pool="avgpool",
        min_image_size=4,
    ),
    Family(
        models="vgg.*",
        head="classifier.6",
        stages="features|MaxPool2d classifier.0 classifier.3",
        min_image_size=32,
    ),
    Family(
        models="vit_.*",
        head="heads.head",
        stages="stem=conv_proj+class_token+encoder.pos_embedding encoder.layers.*+encoder.ln",
        sized=lambda side: {"image_size": side},
        size_step=lambda model_name: int(model_name.rpartition("_")[2]),  # the side of a patch
        rename=_vit_name,
    ),
)


def family_of(model_name: str) -> Family:
    """The family of a model in the catalogue."""
    return next(family for family in FAMILIES if re.fullmatch(family.models, model_name))


def stages_of(family: Family, module: nn.Module) -> tuple[Stage, ...]:
    """The stages of a model of `family`; parts that this one was built without are left out."""
    return tuple(stage for item in family.stages.split() for stage in _expand(item, module))


def _expand(item: str, module: nn.Module) -> Iterator[Stage]:
    name, _, paths = item.rpartition("=")
    first, *others = paths.split("+")
    rest = [path for path in others if _exists(path, module)]
    if first.endswith(".*"):
        *earlier, last = _children_with_parameters(first.removesuffix(".*"), module)
        yield from (Stage(path, (path,)) for path in earlier)
        yield Stage(last, (last, *rest))
    elif first.endswith("|MaxPool2d"):
        blocks = _between_poolings(first.removesuffix("|MaxPool2d"), module)
        yield from (Stage(f"block{number}", block) for number, block in enumerate(blocks, 1))
    else:
        yield Stage(name or first, (first, *rest))


def _children_with_parameters(path: str, module: nn.Module) -> list[str]:
    children = module.get_submodule(path).named_children()
    return [f"{path}.{name}" for name, child in children if next(child.parameters(), None) is not None]


def _between_poolings(path: str, module: nn.Module) -> list[tuple[str, ...]]:
    from torch import nn

    blocks: list[list[str]] = [[]]
    for name, child in module.get_submodule(path).named_children():
        if isinstance(child, nn.MaxPool2d):
            blocks.append([])
        elif next(child.parameters(), None) is not None:
            blocks[-1].append(f"{path}.{name}")
    return [tuple(block) for block in blocks if block]


def _exists(path: str, module: nn.Module) -> bool:
    return any(name == path or name.startswith(path + ".") for name, _ in module.named_parameters())
