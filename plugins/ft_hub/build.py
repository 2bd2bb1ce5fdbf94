"""Builds what a hubconf.py returns as a backbone; what torch.hub does not tell, its layers do, or settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ft import Backbone, FtError, Settings, Stage, nearest

if TYPE_CHECKING:
    from torch import nn


class HubSettings(Settings):
    arguments: dict[str, Any] = Field({}, description="keyword arguments of the entry point")
    head: str | None = Field(None, description="path of the classifier; default: the last linear layer")
    min_image_size: int = Field(32, ge=1, description="smallest side in pixels that the network takes")


def models(settings: HubSettings) -> tuple[str, ...]:
    """None: which folders there are, only the user knows."""
    return ()


def build(model_name: str, settings: HubSettings) -> Backbone:
    """Run the entry point in `model_name`, FOLDER/hubconf.py:ENTRY. The stages are the network's children, in order.

    Raises FtError for a file, an entry point or a classifier that does not exist, and for what is no network.
    """
    from torch import nn

    module: object = _call_entry(model_name, settings.arguments)
    if not isinstance(module, nn.Module):
        raise FtError(
            f"hub:{model_name} returned an object of type {type(module).__name__}; a torch.nn.Module is needed"
        )
    path = _head_path(model_name, module, settings.head)
    return Backbone(
        module=module,
        head_paths=(path,),
        stages=tuple(_stages(module, path)),
        feature_dim=module.get_submodule(path).in_features,  # type: ignore[arg-type]
        min_image_size=settings.min_image_size,
    )


def _call_entry(model_name: str, arguments: dict[str, Any]) -> Any:
    import torch

    file, _, entry = model_name.rpartition(":")
    path = Path(os.path.expanduser(file))
    if path.name != "hubconf.py" or not path.is_file():
        raise FtError(f"'hub:{model_name}': write hub:FOLDER/hubconf.py:ENTRY; there is no hubconf.py at '{file}'")
    try:
        return torch.hub.load(str(path.parent), entry, source="local", **arguments)  # type: ignore[no-untyped-call]
    except Exception as error:  # a stranger's code, as a plugin's is
        raise FtError(f"hub:{model_name} failed: {type(error).__name__}: {error}") from error


def _head_path(model_name: str, module: nn.Module, wanted: str | None) -> str:
    from torch import nn

    linear: list[str] = [path for path, part in module.named_modules() if isinstance(part, nn.Linear)]
    if wanted is None:
        if not linear:
            raise FtError(f"hub:{model_name} has no linear layer that could be its classifier")
        return linear[-1]
    if wanted in linear:
        return wanted
    near = nearest(wanted, linear, most=3) or linear[-3:]
    raise FtError(
        f"hub:{model_name} has no linear layer '{wanted}' for backbone.head; near it are {', '.join(near) or 'none'}"
    )


def _stages(module: nn.Module, head: str) -> Iterator[Stage]:
    """A stage for each child with parameters; of the one around the head, for its children.

    Parameters of the root, such as a class token, count to the first.
    """
    paths = list(_beside(module, "", head))
    own = [name for name, _ in module.named_parameters(recurse=False)]
    for index, path in enumerate(paths or own[:1]):
        yield Stage(path, (path, *(name for name in own if index == 0 and name != path)))


def _beside(module: nn.Module, prefix: str, head: str) -> Iterator[str]:
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if head.startswith(f"{path}."):
            yield from _beside(child, f"{path}.", head)
        elif path != head and any(True for _ in child.parameters()):
            yield path
