"""Builds any of timm's classifiers as a backbone: its group matcher gives the stages, its config the preprocessing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ft import Backbone, FtError, Settings, Stage
from ft_timm.catalogue import models, weights

if TYPE_CHECKING:
    from torch import nn


class TimmSettings(Settings):
    image_size: int | None = Field(
        None, ge=1, description="side in pixels that a model for one image size is built for; default: as pretrained"
    )


def build(model_name: str, settings: TimmSettings) -> Backbone:
    """Build `model_name` with random weights, initialised as timm does.

    Raises FtError when timm lacks the model or it has no classifier that can be replaced, and for unfit settings.
    """
    models(settings)  # says so when timm is missing
    import timm

    if not timm.is_model(model_name):
        raise FtError(f"timm {timm.__version__} has no model '{model_name}'; try: pip install --upgrade timm")
    default = weights(model_name)[0]
    config = timm.get_pretrained_cfg(f"{model_name}.{default.name}")
    sized: dict[str, Any] = {}
    if settings.image_size is not None:
        if not config.fixed_input_size:
            raise FtError(
                f"setting 'backbone.image_size' does not apply to {model_name}, which takes images of any size;"
                " use --image-size"
            )
        sized = {"img_size": settings.image_size}
    module = _construct(model_name, default.num_classes or 1000, sized)
    path = config.classifier
    head = module.get_submodule(path)
    side = sized.get("img_size", default.preprocessing.crop_size)
    scale = side / default.preprocessing.crop_size
    resize = round(default.preprocessing.resize_size * scale)
    is_convolution = hasattr(head, "in_channels")  # of what is pooled before it
    return Backbone(
        module=module,
        head_paths=(path,),
        stages=tuple(_stages(module, path)),
        feature_dim=_inputs(head, model_name),
        preprocessing=replace(default.preprocessing, crop_size=side, resize_size=resize),
        head_form="map" if is_convolution else "vector",
        pooled_after=() if is_convolution else None,
        pool_path=_pool_path(module, path),
        min_image_size=_min_image_size(model_name, config),
        fixed_image_size=side if config.fixed_input_size else None,
    )


def _min_image_size(model_name: str, config: Any) -> int:
    if re.match("inception_(v|resnet)", model_name):
        return 75  # what they do without padding leaves nothing of less; timm does not say so
    return config.min_input_size[-1] if config.min_input_size else 32


def _construct(model_name: str, num_classes: int, sized: Mapping[str, Any]) -> nn.Module:
    import timm

    try:
        module: nn.Module = timm.create_model(model_name, pretrained=False, num_classes=num_classes, **sized)
    except TypeError as error:
        if "img_size" in sized and "img_size" in str(error):
            raise FtError(f"timm builds {model_name} for its own image size only; drop backbone.image_size") from None
        raise
    return module


def _inputs(head: nn.Module, model_name: str) -> int:
    from torch import nn

    if isinstance(head, nn.Linear):
        return head.in_features
    if isinstance(head, nn.Conv2d):
        return head.in_channels
    raise FtError(f"the classifier of {model_name} is of type {type(head).__name__}, which ft cannot replace yet")


def _stages(module: nn.Module, head: str) -> Iterator[Stage]:
    """A stage for each group of timm's coarse group matcher, from input to output; the first is called "stem".

    A few networks have no matcher, or one that overlooks parameters. Their stages are their children.
    """
    from timm.models import group_parameters

    every = dict(module.named_parameters(remove_duplicate=False))
    named = {name: parameter for name, parameter in every.items() if not name.startswith(f"{head}.")}
    matcher = getattr(module, "group_matcher", None)
    groups = group_parameters(module, matcher(coarse=True)) if matcher else {}
    found = {id(every[name]): group for group, names in groups.items() for name in names}  # shared ones have two names
    children = {name: index for index, (name, _) in enumerate(module.named_children())}
    by_child = {name: children.get(name.partition(".")[0], 0) for name in named}
    whole = all(id(parameter) in found for parameter in named.values())
    group_of = {name: found[id(parameter)] for name, parameter in named.items()} if whole else by_child
    paths: dict[Any, list[str]] = {}
    for path, group in _cover("", module, group_of):
        paths.setdefault(group, []).append(path)
    for group in sorted(paths):
        first = paths[group][0]
        yield Stage("stem" if group == min(paths) else first, tuple(paths[group]))


def _cover(path: str, module: nn.Module, group_of: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The outermost modules whose parameters are all of one group, and parameters that lie in none, in order."""
    prefix = f"{path}." if path else ""
    inside = [name for name, _ in module.named_parameters(prefix=path, remove_duplicate=False)]
    found = {group_of.get(name) for name in inside}
    if path and len(found) == 1 and None not in found:
        yield path, found.pop()
        return
    for name, _ in module.named_parameters(recurse=False, remove_duplicate=False):
        if f"{prefix}{name}" in group_of:
            yield f"{prefix}{name}", group_of[f"{prefix}{name}"]
    for name, child in module.named_children():
        yield from _cover(f"{prefix}{name}", child, group_of)


def _pool_path(module: nn.Module, head: str) -> str:
    """timm's average pooling, where the classifier gets as many features as the last map has channels."""
    from torch import nn

    inputs = getattr(module.get_submodule(head), "in_features", None)
    for path, part in module.named_modules():
        if path.endswith("global_pool.pool") and isinstance(part, nn.AdaptiveAvgPool2d):
            return path if inputs == module.num_features and part.output_size in (1, (1, 1)) else ""
    return ""
