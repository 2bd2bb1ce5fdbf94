"""The modules of heads that torch does not have; imported only where a head is built."""

import torch
from torch import nn
from torch.nn.functional import linear, normalize

SMALLEST = 1e-6  # of what has no logarithm, and no root with a gradient


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


class GeneralisedMean(nn.Module):
    """[N, C, H, W] to [N, C, 1, 1]: the mean of the p-th powers, to the power of 1/p; negative values count as 0."""

    def __init__(self, p: float, learn_p: bool) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.empty(()), requires_grad=learn_p)
        nn.init.constant_(self.p, p)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.clamp(min=SMALLEST).pow(self.p).mean((2, 3), keepdim=True).pow(1 / self.p)


class AttentionPool(nn.Module):
    """[N, C, H, W] to [N, C, 1, 1]: a weighted mean over positions, the weights a softmax of learned scores.

    Each of `heads` scores positions for its own share of the channels. All scores start at 0, so that the pretrained
    features are averaged as before.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.score = nn.Conv2d(channels, heads, kernel_size=1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        weights = self.score(features).flatten(2).softmax(-1).unsqueeze(2)  # [N, heads, 1, H * W]
        shares = torch.unflatten(features.flatten(2), 1, (self.heads, -1))  # [N, heads, C / heads, H * W]
        pooled: torch.Tensor = (weights * shares).sum(-1)
        return pooled.flatten(1)[..., None, None]
