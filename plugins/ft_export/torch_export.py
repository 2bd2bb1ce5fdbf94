"""`torch-export`: a program of torch.export, which torch runs without the code of the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from ft import Portable, Settings
from ft_export.traced import traced

FILE = "model.pt2"
NAMES = "outputs.txt"
"""Among the texts in the file: the names of the outputs, in their order."""


def export(model: Portable, folder: Path, settings: Settings) -> None:
    """Write model.pt2, with the metadata as extra files in it. Raises FtError for what torch.export cannot follow."""
    import torch

    texts = {**model.metadata, NAMES: "\n".join(model.outputs)}
    file = BytesIO()  # a folder whose name is not UTF-8 has no name for torch
    torch.export.save(traced(model), file, extra_files=texts)
    (folder / FILE).write_bytes(file.getvalue())


def load(folder: Path) -> Callable[[Any], Mapping[str, Any]]:
    """Load the program; it computes on the CPU."""
    import torch

    texts: dict[str, Any] = {NAMES: ""}
    program = torch.export.load(BytesIO((folder / FILE).read_bytes()), extra_files=texts).module()
    names = str(texts[NAMES]).split("\n")

    def compute(images: Any) -> Mapping[str, Any]:
        with torch.no_grad():
            outputs = program(torch.from_numpy(images))
        return {name: each.numpy() for name, each in zip(names, outputs, strict=True)}

    return compute
