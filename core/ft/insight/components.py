"""Principal components: features in few dimensions, to be drawn, and to be worked with faster."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_components(features: Tensor, most: int) -> Tensor:
    """Features [N, D] as coordinates [N, d] along their principal components, those of the largest variance first; d is
    `most`, or N or D where that is less.

    Distances that the left-out components have no part in stay as they were. The largest coordinate of each component
    is positive, so that a map is not mirrored from one machine to the next.
    """
    centred = features.double() - features.double().mean(0)
    n, width = centred.shape
    if width <= n:
        _, vectors = torch.linalg.eigh(centred.t() @ centred)  # eigenvalues rise
        coordinates = centred @ vectors.flip(1)[:, :most]
    else:
        values, vectors = torch.linalg.eigh(centred @ centred.t())
        coordinates = vectors.flip(1)[:, :most] * values.flip(0)[:most].clamp(min=0).sqrt()
    largest = coordinates.gather(0, coordinates.abs().argmax(0, keepdim=True))
    return torch.where(largest < 0, -coordinates, coordinates)
