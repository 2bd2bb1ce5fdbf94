"""The loss of a network that has more than one classifier."""

from __future__ import annotations

from typing import Any

import torch

from ft.extension.tasks import Loss


def total_loss(outputs: Any, targets: torch.Tensor, loss: Loss, aux_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The head's loss plus `aux_weight` times each auxiliary classifier's, and the head's outputs [N, K].

    Auxiliary classifiers answer in train mode only: Szegedy et al. 2015, section 5 (GoogLeNet, 0.3) and 2016,
    section 4 (Inception v3, 0.4).
    """
    main, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    total = loss(main.float(), targets)
    for each in auxiliary:
        total = total + aux_weight * loss(each.float(), targets)
    return total, main
