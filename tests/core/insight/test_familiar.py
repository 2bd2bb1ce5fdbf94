"""How unlike the training images others are, on features of which all is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ft.insight.familiar import KEPT, familiar_with, unlikeness


def crowd(images: int, seed: int) -> Tensor:
    """Features around six directions, as those of classes."""
    centres = 4 * torch.randn(6, 32, generator=torch.Generator().manual_seed(9))
    draw = torch.Generator().manual_seed(seed)
    return 10 + centres[torch.arange(images) % 6] + torch.randn(images, 32, generator=draw)


def test_so_much_of_validation_is_familiar_and_of_what_is_like_it() -> None:
    val = crowd(400, 1)
    familiar = familiar_with(crowd(1200, 0), val)
    assert float((unlikeness(val, familiar) <= 1).double().mean()) == pytest.approx(KEPT, abs=0.005)
    assert float((unlikeness(crowd(400, 2), familiar) <= 1).double().mean()) == pytest.approx(KEPT, abs=0.04)


def test_what_lies_in_another_direction_is_unknown_however_long_its_features() -> None:
    familiar = familiar_with(crowd(1200, 0), crowd(400, 1))
    strange = 10 + 5 * torch.randn(100, 32, generator=torch.Generator().manual_seed(4))
    assert float((unlikeness(strange, familiar) > 1).double().mean()) > 0.95
    longer = familiar.mean + 7 * (crowd(60, 2) - familiar.mean)
    torch.testing.assert_close(unlikeness(longer, familiar), unlikeness(crowd(60, 2), familiar), rtol=1e-3, atol=1e-3)


def test_a_handful_of_training_images_is_enough_to_compare_with() -> None:
    familiar = familiar_with(crowd(3, 0), crowd(2, 1))
    found = unlikeness(torch.cat([crowd(6, 2), torch.zeros(1, 32)]), familiar)
    assert found.isfinite().all()


def test_features_that_are_all_the_same_are_familiar_and_others_are_not() -> None:
    same = torch.ones(20, 4)
    familiar = familiar_with(same, same)
    assert unlikeness(same[:1], familiar).isfinite().all()
