"""What comes before a layer, in a graph in which it may be taken apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from ft.prefix.linear import before_layer


class OfNumbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.linear(images, self.weight)


class Net(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.before, self.head = nn.Linear(4, 3), head

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.before(images).relu())
        return outputs


@pytest.mark.parametrize("head", [nn.Linear(3, 2), nn.Sequential(nn.Dropout(), nn.Linear(3, 2)), OfNumbers()])
def test_what_a_layer_reads_is_found_where_its_own_layers_are_called_one_by_one(head: nn.Module) -> None:
    net, images = Net(head).eval(), torch.randn(5, 4)
    before = before_layer(fx.symbolic_trace(net), "head")
    assert before is not None
    assert before(images).equal(net.before(images).relu())


def test_a_layer_that_is_not_there_has_nothing_before_it() -> None:
    traced = fx.symbolic_trace(Net(nn.Linear(3, 2)))
    assert before_layer(traced, "hea") is None
