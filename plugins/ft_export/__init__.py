"""Exporters: forms in which a model is taken along. A library is imported when a file is written or read."""

from __future__ import annotations

from collections.abc import Iterator

from ft import Exporter, hookimpl

ONNX = """import onnxruntime

file = folder / "model.onnx"
apart = (folder / "model.onnx.data").exists()  # the tensors of a model of 2 GB or more
session = onnxruntime.InferenceSession(str(file) if apart else file.read_bytes(), providers=["CPUExecutionProvider"])


def model(images):
    return session.run(["$output"], {"images": images})[0]
"""
TORCH = """import torch

program = torch.export.load(folder / "model.pt2").module()


def model(images):
    return dict(zip(["$outputs"], program(torch.from_numpy(images)), strict=True))["$output"].detach().numpy()
"""
SAFETENSORS = """import ft
import torch

loaded = ft.load(folder, device="cpu")


def model(images):
    with torch.no_grad():
        return loaded.module(loaded.prepare(images)).numpy()
"""


OPENVINO = """import openvino

compiled = openvino.Core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def model(images):
    return compiled(images)[0]
"""

LITERT = """import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_content=(folder / "model.tflite").read_bytes())
runner = interpreter.get_signature_runner()


def model(images):
    return np.concatenate([runner(images=image[None])["$output"] for image in images])
"""


@hookimpl
def ft_model_exporters() -> Iterator[Exporter]:
    yield Exporter(
        "onnx",
        "ONNX, for onnxruntime and most others: resizes, normalises and answers (needs ftkit[onnx])",
        export="ft_export.onnx:export",
        load="ft_export.onnx:load",
        file="model.onnx",
        use=ONNX,
        settings="ft_export.onnx:Settings",
        any_size=True,
        precisions=("fp16", "int8"),
    )
    yield Exporter(
        "torch-export",
        "A program of torch.export, model.pt2: torch alone runs it, without ft and the backbone's package",
        export="ft_export.torch_export:export",
        load="ft_export.torch_export:load",
        file="model.pt2",
        use=TORCH,
        any_size=True,
        precisions=("fp16",),
    )
    yield Exporter(
        "safetensors",
        "The weights by the backbone's own names, for other code of the same network; ft rebuilds the model from it",
        export="ft_export.weights:export",
        load="ft_export.weights:load",
        file="model.safetensors",
        use=SAFETENSORS,
        any_size=True,
    )
    yield Exporter(
        "openvino",
        "OpenVINO's own form, for images of the network's size (needs ftkit[openvino])",
        export="ft_export.openvino:export",
        load="ft_export.openvino:load",
        file="model.xml",
        use=OPENVINO,
        precisions=("fp16",),
    )
    yield Exporter(
        "litert",
        "LiteRT (TensorFlow Lite), for images of the network's size (needs ftkit[litert])",
        export="ft_export.litert:export",
        load="ft_export.litert:load",
        file="model.tflite",
        use=LITERT,
    )
