"""`openvino`: OpenVINO's intermediate representation, computed by OpenVINO."""

from __future__ import annotations

import functools
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
    core = _core()
    model = core.read_model(folder / FILE)
    names = str(model.get_rt_info(["ft", NAMES]).value).split("\n")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def compute(images: Any) -> Mapping[str, Any]:
        found = compiled(images)
        return {name: found[place].copy() for place, name in enumerate(names)}

    return compute


@functools.cache
def _core() -> Any:
    """The one Core of this process, which stays.

    Each has a stack for signal handlers of its own, and puts back the one that was there before it when it goes. Of two
    that go in the order in which they came, the second puts back that of the first, which is no longer there: the next
    signal that Python handles, as Ctrl-C or the end of a process that loads images, is then a segmentation fault
    (OpenVINO 2026.4, SigAltStackSetup in its CPU plugin).
    """
    import openvino

    return openvino.Core()
