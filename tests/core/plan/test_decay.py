from __future__ import annotations

import pytest
import torch
from torch import nn

from ft.plan.decay import without_decay


class Odd(nn.Module):
    """Parameters of the kinds that published recipes leave out, and those of the same shapes that they decay."""

    def __init__(self) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.pos_embedding = nn.Parameter(torch.zeros(1, 9, 4))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
        self.attention_biases = nn.Parameter(torch.zeros(2, 9))
        self.logit_scale = nn.Parameter(torch.zeros(2, 1, 1))
        self.layer_scale = nn.Parameter(torch.zeros(4, 1, 1))
        self.gain = nn.Parameter(torch.zeros(4, 1, 1, 1))
        self.positions = nn.Embedding(9, 4)
        self.norm = nn.BatchNorm2d(4)
        self.mixing = nn.Parameter(torch.zeros(4, 4))
        self.one_input = nn.Linear(1, 4)
        self.one_output = nn.Linear(4, 1)
        self.depthwise = nn.Conv2d(4, 4, 1, groups=4)
        self.attention = nn.MultiheadAttention(4, 2)


def decayed(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_parameters()} - without_decay(module)


def test_only_what_features_are_multiplied_with_is_decayed() -> None:
    assert decayed(Odd()) == {
        *("mixing", "one_input.weight", "one_output.weight", "depthwise.weight"),
        *("attention.in_proj_weight", "attention.out_proj.weight"),
    }


def test_what_the_network_or_a_part_of_it_names_is_obeyed() -> None:
    class Says(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)
            self.gate = nn.Linear(2, 2)

        def no_weight_decay(self) -> set[str]:
            return {"gate.*", "not_there"}

    assert decayed(Says()) == {"fc.weight"}
    assert decayed(nn.Sequential(Says(), nn.Linear(2, 2))) == {"0.fc.weight", "1.weight"}


@pytest.mark.parametrize(
    ("name", "spared"),
    [
        ("vit_b_16", {"class_token", "encoder.pos_embedding"}),
        ("swin_t", {"features.1.0.attn.relative_position_bias_table"}),
        ("swin_v2_t", {"features.1.0.attn.logit_scale"}),
        ("convnext_tiny", {"features.1.0.layer_scale"}),
    ],
)
def test_torchvisions_networks_are_decayed_as_in_their_recipes(name: str, spared: set[str]) -> None:
    from torchvision.models import get_model

    with torch.device("meta"):
        module = get_model(name, weights=None)
    assert spared <= without_decay(module)
    kernels = {f"{path}.weight" for path, part in module.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)}
    assert kernels <= decayed(module)
