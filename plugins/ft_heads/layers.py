"""The modules of heads that torch does not have; imported only where a head is built."""

import torch
from torch import nn
from torch.nn.functional import linear, normalize


class CosineLinear(nn.Module):
    """[N, D] to [N, C]: `scale` times the cosine of the angle between an image's features and each class's weight."""

    def __init__(self, feature_dim: int, num_classes: int, scale: float, learn_scale: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, feature_dim))
        self.scale = nn.Parameter(torch.empty(()), requires_grad=learn_scale)
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        nn.init.constant_(self.scale, scale)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.scale * linear(normalize(features, dim=-1), normalize(self.weight, dim=-1))
