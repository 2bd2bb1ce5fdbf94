"""int8 for ONNX: static quantization by onnxruntime, with ranges seen on training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PRODUCTS = ["Conv", "MatMul", "Gemm"]
"""The operators that are computed in int8; what lies between them stays as it is."""


def quantize(path: Path, calibration: Callable[[], Iterator[Any]]) -> None:
    """Replace a model by one whose convolutions and matrix products are in int8: weights with a scale for each channel,
    activations with one whose range is what `calibration`, arrays [1, H, W, 3], gives.

    The arithmetic of the resize, which is in float64, stays. Weights have 7 bits, as processors without VNNI add up
    pairs of products in 16 bits, and would saturate with 8.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self._images = calibration()

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {"images": image}

    metadata = {each.key: each.value for each in onnx.load(path).metadata_props}
    quant_pre_process(str(path), str(path), skip_symbolic_shape=True)
    found = onnx.load(path)
    double = onnx.TensorProto.DOUBLE
    doubles = {each.name for each in found.graph.value_info if each.type.tensor_type.elem_type == double}
    resizing = [node.name for node in found.graph.node if doubles & {*node.input, *node.output}]
    quantize_static(
        str(path),
        str(path),
        Images(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=PRODUCTS,
        nodes_to_exclude=resizing,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    quantized = onnx.load(path)
    onnx.helper.set_model_props(quantized, metadata)
    onnx.save(quantized, path)
