"""Where the cut lies, what it weighs and what it is worth."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from faults.repetitions import FULL
from ft.prefix.find import Conditions, FrozenPrefix, find_prefix, split_module
from ft.prefix.probe import probe_equality
from ft.prefix.records import NoCut, Price


def test_flops_and_bytes_of_resnet18(prepare: Any) -> None:
    model = models.resnet18().train()
    frozen = {name for name, _ in model.named_parameters() if not name.startswith("fc.")}
    for name, child in model.named_children():
        if name != "fc":
            child.eval()
    found = find_prefix(model, frozen, (3, 224, 224))
    assert isinstance(found, FrozenPrefix)
    (tensor,) = found.cut.tensors
    assert (tensor.path, tensor.shape, tensor.dtype, tensor.bytes) == ("flatten", (512,), "float32", 2048)
    # 1.81 GMAC are published for the whole; elementwise operations add less than 1%.
    assert 2 * 1.81e9 < found.cut.prefix_flops < 2 * 1.84e9
    assert found.cut.suffix_flops == 2 * 512 * 1000
    assert found.cut.ceiling == pytest.approx(found.cut.prefix_flops / (3 * 2 * 512 * 1000) + 1)


def test_last_stage_of_resnet50_has_the_known_ceiling() -> None:
    with torch.device("meta"):
        model = models.resnet50().train()
    frozen = {name for name, _ in model.named_parameters() if not name.startswith(("layer4.", "fc."))}
    for name, child in model.named_children():
        if name not in ("layer4", "fc"):
            child.eval()
    found = find_prefix(
        model, frozen, (3, 224, 224), under=Conditions(computed_in=lambda: torch.autocast("cpu", torch.bfloat16))
    )
    assert isinstance(found, FrozenPrefix)
    assert [(tensor.path, tensor.bytes) for tensor in found.cut.tensors] == [("layer3.5.relu", 1024 * 14 * 14 * 2)]
    assert found.cut.ceiling == pytest.approx(2.35, abs=0.1)


def test_a_dear_store_keeps_decoded_images(prepare: Any) -> None:
    prepared = prepare("resnet", "first half")
    found = find_prefix(prepared.module, prepared.frozen, prepared.shape, Price(bytes_per_s=1.0))
    assert isinstance(found, FrozenPrefix)
    assert found.cut.keeps_images
    assert [(tensor.dtype, tensor.bytes) for tensor in found.cut.tensors] == [("uint8", 3 * 32 * 32)]
    assert found.cut.ceiling == 1.0


def test_a_single_epoch_is_worth_no_store(prepare: Any) -> None:
    prepared = prepare("resnet", "first half")
    found = find_prefix(prepared.module, prepared.frozen, prepared.shape, Price(epochs=1))
    assert isinstance(found, FrozenPrefix)
    assert found.cut.keeps_images


def test_nothing_frozen_keeps_images(prepare: Any) -> None:
    prepared = prepare("resnet")
    found = find_prefix(prepared.module, frozenset(), prepared.shape)
    assert isinstance(found, FrozenPrefix)
    assert found.cut.keeps_images


def test_images_that_the_network_overwrites_and_that_would_cross_with_what_became_of_them_are_cut_earlier() -> None:
    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
            self.one, self.other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            shifted = images.sub_(0.5)
            read = (images + self.one).mean((1, 2, 3)) + (shifted + self.other).mean((1, 2, 3))
            logits = self.fc(self.stem(shifted).mean((2, 3)))
            return logits + (read + shifted.relu_().mean((1, 2, 3)))[:, None]

    net = Overwriting()
    frozen = {"stem.weight", "stem.bias"}
    net.stem.requires_grad_(False)
    found = find_prefix(net, frozen, (3, 8, 8), Price(flops_per_s=1e9))
    assert isinstance(found, FrozenPrefix)
    assert probe_equality(net, split_module(found), torch.randn(4, 3, 8, 8)) is None


def test_a_cut_is_plain_data(prepare: Any) -> None:
    prepared = prepare("googlenet")
    found = find_prefix(prepared.module, prepared.frozen, prepared.shape)
    assert isinstance(found, FrozenPrefix)
    assert pickle.loads(pickle.dumps(found.cut)) == found.cut
    assert json.loads(json.dumps(dataclasses.asdict(found.cut)))["prefix_flops"] == found.cut.prefix_flops


def test_images_that_are_too_small_mean_no_cut(prepare: Any, capfd: pytest.CaptureFixture[str]) -> None:
    prepared = prepare("alexnet")
    found = find_prefix(prepared.module, prepared.frozen, (3, 16, 16))
    assert isinstance(found, NoCut)
    assert "its shapes cannot be derived" in found.reason
    assert capfd.readouterr().err == ""


@contextmanager
def _real_regnet_widths() -> Iterator[None]:
    """RegNet computes its layout with tensors, which hold nothing on the meta device."""
    derive = models.regnet.BlockParams.from_init_params

    def on_cpu(*arguments: Any, **options: Any) -> Any:
        with torch.device("cpu"):
            return derive(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.regnet.BlockParams, "from_init_params", on_cpu)
        yield


CLASSIFIERS = [name for name in models.list_models(module=models) if not name.startswith("quantized_")]
QUICK = ("alexnet", "googlenet", "resnet18", "vit_b_16")
"""The others have nothing that these, or the small ones of tests/core/prefix/test_equality.py, have not."""
HEADS = ("fc", "classifier", "head", "AuxLogits", "aux1", "aux2")


@pytest.mark.faults
@pytest.mark.parametrize("name", CLASSIFIERS if FULL else QUICK)
def test_every_classifier_of_torchvision_is_cut_before_its_head(name: str) -> None:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"), _real_regnet_widths():
        model: nn.Module = models.get_model(name, **options)
    model.train()
    frozen = {n for n, _ in model.named_parameters() if not n.startswith(HEADS)}
    for child_name, child in model.named_children():
        if not child_name.startswith(HEADS):
            child.eval()
    size = 299 if name == "inception_v3" else 224
    size = model.image_size if name.startswith("vit_") else size
    found = find_prefix(model, frozen, (3, size, size))
    assert isinstance(found, FrozenPrefix), found
    assert not found.cut.keeps_images
    assert all(barrier.path.startswith(HEADS) for barrier in found.cut.barriers)
