"""Linear heads side by side: many of them are one matrix, so that a batch meets all of them in one product."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

from ft.extension.records import Candidate
from ft.machine.randomness import seeded, step_seed


class Heads:
    """As many linear heads as there are candidates, with `weight` [H, K, D] and `bias` [H, K] or None.

    They begin as `head` does, or where a candidate's seed is not 0, with values that torch draws for such a layer, and
    that follow from it and the run's `seed`.
    """

    def __init__(self, head: nn.Linear, candidates: Sequence[Candidate], seed: int) -> None:
        begun = {each: _begun(head, each, seed) for each in {each.seed for each in candidates}}
        alike = [begun[each.seed] for each in candidates]
        self.weight = nn.Parameter(torch.stack([each.weight.detach() for each in alike]))
        biases = [each.bias.detach() for each in alike if each.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases)) if biases else None
        self.outputs = head.out_features
        self._candidates = candidates

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The weight and, where there is one, the bias, by their names in a linear layer."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """The outputs [N, H, K] of all heads for what enters each of them, [N, D]."""
        bias = None if self.bias is None else self.bias.flatten()
        outputs = linear(inputs, self.weight.flatten(0, 1), bias)
        return outputs.view(len(inputs), len(self), self.outputs)

    def groups(self) -> list[dict[str, Any]]:
        """Param groups for an optimizer that steps heads side by side. Biases get no weight decay."""
        return [
            {
                "params": [parameter],
                "lr": _rows([each.lr for each in self._candidates], parameter),
                "weight_decay": _rows([each.weight_decay * (name == "weight") for each in self._candidates], parameter),
            }
            for name, parameter in self.parameters.items()
        ]

    def clip(self, most: float) -> None:
        """Scale down the gradients of each head whose norm exceeds `most`, as torch's `clip_grad_norm_` does of one."""
        gradients = [each.grad for each in self.parameters.values() if each.grad is not None]
        squares = [each.flatten(1).square().sum(1) for each in gradients]
        shares = (most / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
        for each in gradients:
            each.mul_(shares.view(-1, *[1] * (each.ndim - 1)))

    def finite(self) -> list[bool]:
        """Which heads hold nothing but numbers."""
        each = [parameter.detach().isfinite().flatten(1).all(1) for parameter in self.parameters.values()]
        answers: list[bool] = torch.stack(each).all(0).tolist()
        return answers

    @torch.no_grad()
    def put(self, number: int, head: nn.Linear) -> None:
        """Make `head` that of a candidate."""
        for name, parameter in self.parameters.items():
            head.get_parameter(name).copy_(parameter[number])

    @torch.no_grad()
    def restore(self, saved: Mapping[str, torch.Tensor]) -> None:
        """Take what `parameters` held, by the same names. Raises ValueError where that is of other heads."""
        for name, parameter in self.parameters.items():
            if name not in saved or saved[name].shape != parameter.shape:
                raise ValueError(f"no {name} of {len(self)} heads")
            parameter.copy_(saved[name])


def _begun(head: nn.Linear, number: int, seed: int) -> nn.Linear:
    made = copy.deepcopy(head)
    if number:
        with seeded(step_seed(seed, number)):
            made.reset_parameters()
    return made


def _rows(values: Sequence[float], parameter: torch.Tensor) -> torch.Tensor:
    """A value for each row of a parameter, which broadcasts over it."""
    return torch.tensor(values, dtype=parameter.dtype, device=parameter.device).view(-1, *[1] * (parameter.ndim - 1))
