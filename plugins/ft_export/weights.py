"""`safetensors`: the weights by the backbone's own names, beside model.json, from which ft rebuilds the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ft
from ft import Portable, Settings, publish_text

FILE = "model.safetensors"
NAME = "output"
"""In the header: the name of the output."""


def export(model: Portable, folder: Path, settings: Settings) -> None:
    """Write model.safetensors, with the metadata in its header, and model.json."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.network.state_dict().items()}
    save_file(tensors, folder / FILE, metadata={**model.metadata, NAME: model.outputs[0], "format": "pt"})
    publish_text(folder / "model.json", model.about)


def load(folder: Path) -> Callable[[Any], Mapping[str, Any]]:
    """Rebuild the model from the folder, as `ft.load` does, on the CPU."""
    import torch
    from safetensors import safe_open

    with safe_open(folder / FILE, framework="pt") as file:
        name = file.metadata()[NAME]
    # Whoever exports has just said whether code that the run names may run. A folder that is used later is looked at
    # as a run's folder is, and does not come here.
    loaded = ft.load(folder, device="cpu", workers=0, trust_code=True)

    def compute(images: Any) -> Mapping[str, Any]:
        with torch.no_grad():
            return {name: loaded.module(loaded.prepare(images)).numpy()}

    return compute
