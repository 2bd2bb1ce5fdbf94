"""`openvino`: OpenVINO's intermediate representation, computed by OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ft import Portable, Settings
from ft_export.need import need
from ft_export.traced import traced

FILE = "model.xml"
NAMES = "outputs"
"""In the rt_info: the names of the outputs, in their order, which compression to fp16 takes from the outputs."""


def export(model: Portable, folder: Path, settings: Settings) -> None:
    """Write model.xml and model.bin, with the metadata in its rt_info, under "ft".

    Raises FtError where OpenVINO is missing, and for what torch.export cannot follow.
    """
    need("openvino", "openvino")
    import openvino

    converted = openvino.convert_model(traced(model))
    converted.inputs[0].get_tensor().set_names({"images"})
    for name, text in {**model.metadata, NAMES: "\n".join(model.outputs)}.items():
        converted.set_rt_info(text, ["ft", name])
    openvino.save_model(converted, folder / FILE, compress_to_fp16=model.precision == "fp16")


def load(folder: Path) -> Callable[[Any], Mapping[str, Any]]:
    """Compile the model for the CPU, without torch. Raises FtError where OpenVINO is missing."""
    need("openvino", "openvino")
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / FILE)
    names = str(model.get_rt_info(["ft", NAMES]).value).split("\n")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def compute(images: Any) -> Mapping[str, Any]:
        found = compiled(images)
        return {name: found[place].copy() for place, name in enumerate(names)}

    return compute
