"""A model as torch.export sees it: a graph with the number of images, and perhaps their sides, left open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ft import FtError, Portable

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def open_sizes(model: Portable) -> dict[str, Any]:
    """Which sizes of `images` stay open, as torch.export takes them."""
    from torch.export import Dim

    return {"images": dict.fromkeys(range(3 if model.any_size else 1), Dim.DYNAMIC)}


def traced(model: Portable) -> ExportedProgram:
    """The graph of a model. Raises FtError, with torch's own words, for a network that torch.export cannot follow."""
    import torch

    try:
        with torch.no_grad():
            return torch.export.export(model.module, (model.example,), dynamic_shapes=open_sizes(model))
    except Exception as error:  # whatever torch raises of a stranger's network
        raise FtError(f"torch.export cannot follow this network: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """The first line of what an exception says."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
