"""Networks exported to ONNX, with random weights: two in the usual run, all of torchvision's in `make faults`."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from faults.repetitions import FULL
from ft import Backbone, Portable, Preprocessing
from ft.inference.self_contained import Seeing, SelfContained
from ft_export.onnx import Settings, export, load
from ft_timm.build import TimmSettings, build as build_timm
from ft_torchvision.build import TorchvisionSettings, build
from ft_torchvision.catalogue import models

pytestmark = [pytest.mark.slow, pytest.mark.faults]

ALL = models(TorchvisionSettings())
USUAL = ("squeezenet1_1",)
OF_TIMM = (
    *("resnet18", "convnext_atto", "vit_tiny_patch16_224", "mobilenetv4_conv_small", "efficientvit_b0"),
    *("tf_efficientnet_lite0", "regnety_002", "edgenext_xx_small", "xcit_nano_12_p16_224", "gmlp_s16_224"),
    *("resmlp_12_224", "ghostnet_100"),
)
CLOSE = 1e-3
"""Of the largest output, as an export bears."""


def agrees(network: nn.Module, side: int, folder: Path) -> None:
    """The file gives what the network does, of one image and of three."""
    module = SelfContained(network, Seeing(Preprocessing(side, side), False), lambda outputs: None, "fp32").eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = torch.randint(0, 256, (3, side, side, 3), dtype=torch.uint8)
    model = Portable(module, ("logits",), images[:2], False, {}, "fp32", lambda: iter(()), network, "")
    export(model, folder, Settings())
    compute = load(folder)
    for some in (images[:1], images):
        with torch.no_grad():
            expected = module(some)[0].numpy()
        given = compute(some.numpy())["logits"]
        assert np.abs(given - expected).max() <= CLOSE * max(1e-3, float(np.abs(expected).max()))


def side_of(backbone: Backbone, smallest: int) -> int:
    return backbone.fixed_image_size or max(smallest, backbone.min_image_size)


@pytest.mark.parametrize("name", ALL if FULL else USUAL)
def test_torchvisions_networks_agree(name: str, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):  # of slow initial values
        torch.manual_seed(0)
        backbone = build(name, TorchvisionSettings())
        nn.init.normal_(backbone.module.get_parameter(f"{backbone.head_paths[0]}.weight"), std=0.02)  # ViT has zeros
    agrees(backbone.module, side_of(backbone, 64 if FULL else 32), tmp_path)


@pytest.mark.skipif(not FULL, reason="make faults tries a sample of timm's networks")
@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
@pytest.mark.parametrize("name", OF_TIMM)
def test_a_sample_of_timms_networks_agrees(name: str, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = build_timm(name, TimmSettings())
    agrees(backbone.module, side_of(backbone, 64), tmp_path)


def test_a_vision_transformer_agrees(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VisionTransformer(
            image_size=16, patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=4
        )
        nn.init.normal_(network.heads[0].weight)
    agrees(network, 16, tmp_path)
