"""int8 for ONNX: static quantization by onnxruntime, with ranges seen on training images."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OPERATORS = ["Conv", "MatMul", "Gemm", "Add", "Clip", "Relu"]
"""What is computed in int8: products, and what lies between those of most networks, which would lose more if it were
made floats and back. (Of a fine-tuned EfficientNet-Lite0 90 % of answers stay with products alone, 96 % so.)"""
PERCENTILE = 99.99
"""Of the values of an activation so many are within its range, and the others are cut: 98 % of those answers stay."""
TOGETHER = 8
"""Images whose activations are in memory at once, where their number can be divided by it."""


def quantize(path: Path, calibration: Callable[[], Iterator[Any]]) -> None:
    """Replace a model by one whose convolutions and matrix products are in int8: weights with a scale for each channel,
    activations with one whose range is nearly all of what `calibration`, arrays [1, H, W, 3], gives.

    The arithmetic of the resize, which is in float64, stays.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    count = sum(1 for _ in calibration())
    together = math.gcd(count, TOGETHER)

    class Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self._images, self._left = calibration(), 0

        def __len__(self) -> int:
            return count

        def set_range(self, start_index: int, end_index: int) -> None:
            self._left = end_index - start_index

        def get_next(self) -> dict[str, Any] | None:
            if not self._left:
                return None
            self._left -= 1
            return {"images": next(self._images)}

    metadata = {each.key: each.value for each in onnx.load(path).metadata_props}
    quant_pre_process(str(path), str(path), skip_symbolic_shape=True)
    found = onnx.load(path)
    double = onnx.TensorProto.DOUBLE
    doubles = {each.name for each in found.graph.value_info if each.type.tensor_type.elem_type == double}
    resizing = [node.name for node in found.graph.node if doubles & {*node.input, *node.output}]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of its histograms
        quantize_static(
            str(path),
            str(path),
            Images(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            nodes_to_exclude=resizing,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE, "CalibStridedMinMax": together},
        )
    quantized = onnx.load(path)
    onnx.helper.set_model_props(quantized, metadata)
    onnx.save(quantized, path)
