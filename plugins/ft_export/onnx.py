"""`onnx`: ONNX by torch's exporter, computed by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import Field

import ft
from ft import FtError, Portable
from ft_export.need import need
from ft_export.traced import first_line, open_sizes

FILE = "model.onnx"
TENSORS = "model.onnx.data"
"""Where the tensors of a model lie that is too large for one file."""
MOST_BYTES = 2**31 - 1
"""A protobuf message holds no more."""


class Settings(ft.Settings):
    opset: int = Field(18, ge=18, le=23, description="the version of ONNX's operators: older programs read a lower one")


def export(model: Portable, folder: Path, settings: Settings) -> None:
    """Write model.onnx, with the metadata in its metadata_props, and of a model of 2 GB or more the tensors beside it.

    Raises FtError where a library is missing, for a network that torch cannot export, and for one of 2 GB in int8.
    """
    need("onnx", "onnx", "onnxscript", "onnxruntime")
    import torch

    size = sum(each.numel() * each.element_size() for each in model.module.state_dict().values())
    apart = size > MOST_BYTES
    if apart and model.precision == "int8":
        raise FtError(
            f"onnxruntime's quantizer takes a file of 2 GB at most, and this model has {size / 1e9:.1f} GB; leave out "
            "--precision int8"
        )
    try:
        with torch.no_grad():
            program: Any = torch.onnx.export(
                model.module,
                (model.example,),
                dynamo=True,
                dynamic_shapes=open_sizes(model),
                input_names=["images"],
                output_names=list(model.outputs),
                opset_version=settings.opset,
                verbose=False,
            )
    except Exception as error:  # whatever torch raises of a stranger's network
        raise FtError(f"torch's ONNX exporter cannot follow this network: {first_line(error)}") from error
    program.model.metadata_props.update(model.metadata)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # lines of code, with the folders of this machine, which make half of a small file
    program.save(str(folder / FILE), external_data=apart)
    if model.precision == "int8":
        from ft_export.quantized import quantize

        with TemporaryDirectory() as elsewhere:  # the quantizer takes no folder whose name is not UTF-8
            file = Path(elsewhere) / FILE
            file.write_bytes((folder / FILE).read_bytes())
            quantize(file, model.calibration)
            (folder / FILE).write_bytes(file.read_bytes())


def load(folder: Path) -> Callable[[Any], Mapping[str, Any]]:
    """Load the file into onnxruntime, on the CPU, without torch. Raises FtError where onnxruntime is missing."""
    need("onnx", "onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # what it warns of is how it optimizes
    if (folder / TENSORS).exists():
        content: str | bytes = str(folder / FILE)
    else:
        content = (folder / FILE).read_bytes()  # a folder whose name is not UTF-8 has no name for onnxruntime
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]

    def compute(images: Any) -> Mapping[str, Any]:
        return dict(zip(names, session.run(names, {"images": images}), strict=True))

    return compute
