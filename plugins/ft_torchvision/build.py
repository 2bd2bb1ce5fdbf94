"""Builds any of torchvision's classifiers as a backbone, from the row of its family."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ft import Backbone, FtError, Preprocessing, Settings
from ft_torchvision.catalogue import weights
from ft_torchvision.families import Family, family_of, stages_of

if TYPE_CHECKING:
    from torch import nn


class TorchvisionSettings(Settings):
    aux: Literal["keep", "drop"] = Field(
        "keep",
        description="the auxiliary classifiers of inception_v3 and googlenet: train with them, or leave them out"
        " (then inception_v3 trains on images from 75 px instead of 299)",
    )
    image_size: int | None = Field(
        None,
        ge=1,
        description="side in pixels that a ViT or MaxViT is built for; default: that of its default weights",
    )


def build(model_name: str, settings: TorchvisionSettings) -> Backbone:
    """Build `model_name` with random weights, initialised as torchvision does. Raises FtError for unfit settings.

    Under `torch.device("meta")` this takes no memory and well under a second for any model.
    """
    published = weights(model_name)[0].preprocessing
    family = family_of(model_name)
    side = _built_side(model_name, family, settings, published.crop_size)
    keep_aux = _keeps_aux(model_name, family, settings)
    module = _construct(model_name, family, side, keep_aux)
    aux = family.aux if keep_aux else ()
    head = module.get_submodule(family.head)
    return Backbone(
        module=module,
        head_paths=(family.head, *aux),
        stages=stages_of(family, module),
        feature_dim=_inputs(head),
        preprocessing=published if side is None else _scaled(published, side),
        head_form="map" if _is_convolution(head) else "vector",
        pool_path=family.pool,
        pooled_after=family.pooled_after,
        aux_dims=tuple(_inputs(module.get_submodule(path)) for path in aux),
        aux_loss_weight=family.aux_loss_weight if aux else 0.0,
        min_image_size=max(family.min_image_size, family.aux_min_image_size if aux else 1),
        fixed_image_size=side,
        rename_weights=family.rename,
        unused_weights=() if keep_aux else tuple(path.rpartition(".")[0] for path in family.aux),
    )


def _built_side(model_name: str, family: Family, settings: TorchvisionSettings, published: int) -> int | None:
    if family.sized is None:
        if settings.image_size is not None:
            raise FtError(
                f"setting 'backbone.image_size' does not apply to {model_name}, which takes images of any size;"
                " use --image-size"
            )
        return None
    side = settings.image_size or published
    if side % (step := family.size_step(model_name)):
        near = max(round(side / step), 1) * step
        raise FtError(
            f"{model_name} is built for multiples of {step} px, and {side} is none;"
            f" the nearest is --set backbone.image_size={near}"
        )
    return side


def _keeps_aux(model_name: str, family: Family, settings: TorchvisionSettings) -> bool:
    if settings.aux == "drop" and not family.aux:
        raise FtError(f"setting 'backbone.aux' does not apply to {model_name}, which has no auxiliary classifiers")
    return settings.aux == "keep"


def _construct(model_name: str, family: Family, side: int | None, keep_aux: bool) -> nn.Module:
    from torchvision.models import get_model

    arguments: dict[str, Any] = {}
    if family.sized is not None and side is not None:
        arguments.update(family.sized(side))
    if family.aux:
        # The published weights were trained on values in -1..1; transform_input turns ImageNet's normalisation, which
        # their preprocessing names, into that. torchvision sets it itself when it loads the weights.
        arguments.update(aux_logits=keep_aux, transform_input=True, init_weights=True)
    with _computed_on_cpu() if family.sized_by_tensors else nullcontext():
        module: nn.Module = get_model(model_name, weights=None, **arguments)
    return module


def _computed_on_cpu() -> AbstractContextManager[Any]:
    """Keeps numbers that a constructor computes with tensors off the meta device, where tensors have no values."""
    import torch
    from torch.overrides import TorchFunctionMode

    class OnCpu(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            device = {"device": "cpu"} if func in (torch.arange, torch.tensor) else {}
            return func(*args, **{**device, **(kwargs or {})})

    return OnCpu()


def _scaled(preprocessing: Preprocessing, side: int) -> Preprocessing:
    resize = round(preprocessing.resize_size * side / preprocessing.crop_size)
    return replace(preprocessing, crop_size=side, resize_size=resize)


def _inputs(layer: nn.Module) -> int:
    return int(getattr(layer, "in_channels" if _is_convolution(layer) else "in_features"))


def _is_convolution(layer: nn.Module) -> bool:
    from torch import nn

    return isinstance(layer, nn.Conv2d)
