"""`onnx`, and what it says where something is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ft import FtError, Portable
from ft.testing import portable_model
from ft_export import onnx as exporter
from ft_export.need import need

pytestmark = [pytest.mark.slow, pytest.mark.trains]


def test_int8_computes_products_in_int8_and_the_resize_as_before(tmp_path: Path) -> None:
    import onnx

    seen: list[tuple[int, ...]] = []
    model = portable_model(any_size=True, precision="int8")

    def calibration() -> Iterator[np.ndarray]:
        for image in model.calibration():
            seen.append(image.shape)
            yield image

    exporter.export(replace(model, calibration=calibration), tmp_path, exporter.Settings(opset=20))
    assert seen == [(1, 19, 19, 3)] * 16  # once to count them
    found = onnx.load(tmp_path / exporter.FILE)
    assert {each.domain or "ai.onnx": each.version for each in found.opset_import}["ai.onnx"] == 20
    assert {each.key: each.value for each in found.metadata_props}["labels.txt"] == "cat\ndog\nbird\n"
    made_by = {output: node for node in found.graph.node for output in node.output}
    products = [node for node in found.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    quantized = [node for node in products if made_by[node.input[1]].op_type == "DequantizeLinear"]
    assert {node.op_type for node in quantized} == {"Conv", "Gemm"}
    assert len(products) - len(quantized) == 2  # along either side
    compute = exporter.load(tmp_path)
    for side in (16, 40):
        images = np.random.default_rng(side).integers(256, size=(2, side, side + 5, 3), dtype=np.uint8)
        with torch.no_grad():
            expected = model.module(torch.from_numpy(images))[0].numpy()
        assert 0 < np.abs(compute(images)["logits"] - expected).max() < 0.1


def test_the_tensors_of_a_model_that_is_too_large_for_one_file_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = portable_model()
    size = sum(each.numel() * each.element_size() for each in model.module.state_dict().values())
    for most, files in ((size, ["model.onnx"]), (size - 1, ["model.onnx", "model.onnx.data"])):
        monkeypatch.setattr(exporter, "MOST_BYTES", most)
        (folder := tmp_path / str(most)).mkdir()
        exporter.export(model, folder, exporter.Settings())
        assert sorted(path.name for path in folder.iterdir()) == files
        given = exporter.load(folder)(model.example.numpy())["logits"]
        with torch.no_grad():
            assert np.abs(given - model.module(model.example)[0].numpy()).max() < 1e-4
    with pytest.raises(FtError, match=r"quantizer takes a file of 2 GB at most, and this model has .* leave out"):
        exporter.export(replace(model, precision="int8"), tmp_path, exporter.Settings())


class Branching(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (images[:, 0, 0].float() * (2 if float(images.sum()) > 0 else 1),)


def test_a_network_that_cannot_be_followed_is_told_with_torchs_words(tmp_path: Path) -> None:
    model = portable_model()
    broken = Portable(
        Branching(), ("logits",), model.example, False, {}, "fp32", model.calibration, model.network, model.about
    )
    with pytest.raises(FtError, match="torch's ONNX exporter cannot follow this network: "):
        exporter.export(broken, tmp_path, exporter.Settings())


def test_a_library_that_is_missing_is_told_with_what_brings_it() -> None:
    need("onnx", "onnxruntime")
    with pytest.raises(
        FtError, match=r"onnx takes no_such_library, which is not installed: pip install 'ftkit\[onnx\]'"
    ):
        need("onnx", "onnxruntime", "no_such_library")
