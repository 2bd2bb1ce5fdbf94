"""`litert`: LiteRT's form (TensorFlow Lite), for phones and small devices."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft import FtError, Portable, Settings
from ft_export.need import need
from ft_export.traced import first_line

if TYPE_CHECKING:
    from torch import nn

FILE = "model.tflite"


def export(model: Portable, folder: Path, settings: Settings) -> None:
    """Write model.tflite, which takes one image, or as many as its input is resized to where the network has no shape
    that says how many there are, as convolutional ones have none. Metadata are files in a ZIP archive at its end, where
    TensorFlow Lite has them.

    Raises FtError where a library is missing, and for a network that the converter cannot follow.
    """
    need("litert", "litert_torch", "ai_edge_litert")
    import torch

    progress = io.StringIO()  # the converter tells its steps on standard output
    try:
        with torch.no_grad(), redirect_stdout(progress):
            import litert_torch

            converted = litert_torch.convert(_named(model), sample_kwargs={"images": model.example[:1]})
            content = converted.model_content()
    except Exception as error:  # whatever it raises of a stranger's network
        raise FtError(f"litert-torch cannot convert this network: {first_line(error)}") from error
    (folder / FILE).write_bytes(content)
    with (folder / FILE).open("r+b") as file, zipfile.ZipFile(file, "a") as archive:
        for name, text in model.metadata.items():
            archive.writestr(zipfile.ZipInfo(name), text)


def load(folder: Path) -> Callable[[Any], Mapping[str, Any]]:
    """Load the file into LiteRT's interpreter, on the CPU, without torch; of a network that takes one image alone, ask
    about one after the other.

    Raises FtError where LiteRT is missing.
    """
    need("litert", "ai_edge_litert")
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=(folder / FILE).read_bytes())
    runner = interpreter.get_signature_runner()

    def ask(images: Any) -> dict[str, Any]:
        return {name: value.copy() for name, value in runner(images=images).items()}

    def takes_several() -> bool:
        try:
            ask(np.zeros((2, *runner.get_input_details()["images"]["shape"][1:]), np.uint8))
        except RuntimeError:  # a node that cannot be resized
            return False
        return True

    several = takes_several()

    def compute(images: Any) -> Mapping[str, Any]:
        if several:
            return ask(images)
        each = [ask(image[None]) for image in images]
        return {name: np.concatenate([answers[name] for answers in each]) for name in each[0]}

    return compute


def _named(model: Portable) -> nn.Module:
    """The model with its outputs by name, which the file then has."""
    from torch import nn

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.module

        def forward(self, images: Any) -> Mapping[str, Any]:
            return dict(zip(model.outputs, self.model(images), strict=True))

    return Named().eval()
