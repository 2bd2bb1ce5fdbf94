"""How many images a file of LiteRT takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ft import Settings
from ft.testing.portable import portable_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # of the library's own
    pytest.mark.skipif(
        find_spec("litert_torch") is None, reason="litert-torch is not installed; make exporters installs it"
    ),
]


class Counts(nn.Module):
    """A network that fixes how many images there are: a shape inside it says so."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        flat = images.float().reshape(len(images) * 4, -1).mean(1)
        outputs = flat.reshape(len(images), 4)
        return outputs, outputs.softmax(1)


@pytest.mark.parametrize("fixed", [False, True])
def test_several_images_are_answered_as_each_alone(fixed: bool, tmp_path: Path) -> None:
    from ft_export.litert import export, load

    model = replace(portable_model(), **({"module": Counts().eval()} if fixed else {}))
    export(model, tmp_path, Settings())
    compute, images = load(tmp_path), np.random.default_rng(1).integers(256, size=(5, 16, 16, 3), dtype=np.uint8)
    found = compute(images)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(images))[0].numpy()
    assert found["logits"] == pytest.approx(expected, abs=1e-4)
    assert compute(images[:1])["logits"] == pytest.approx(expected[:1], abs=1e-4)
    assert _together(tmp_path, images) != fixed


def _together(folder: Path, images: Any) -> bool:
    """Whether LiteRT itself takes several images at once."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=(folder / "model.tflite").read_bytes()).get_signature_runner()
    try:
        found: Mapping[str, Any] = runner(images=images)
    except RuntimeError:
        return False
    return len(found["logits"]) == len(images)
