"""BatchNorm that trains over the images of all processes, as if one had computed them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class JointBatchNorm(_BatchNorm):
    """BatchNorm whose mean and variance, in train mode, are those of the images of all processes.

    torch.nn.SyncBatchNorm does the same and asks for a GPU. `is_joint` is False while every process computes the same
    images.
    """

    is_joint = True

    def _check_input_dim(self, input: Tensor) -> None:
        """Any dimensions do, as the layer in whose place it stands has its own."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.is_joint:
            return super().forward(input)
        values = input.float()
        across = [dimension for dimension in range(values.ndim) if dimension != 1]
        count = values.new_tensor([values.numel() // values.shape[1]])
        sums = _over_all(torch.cat([values.sum(across), count]))
        number = sums[-1].detach()
        mean = sums[:-1] / number
        shape = [1, -1, *[1] * (values.ndim - 2)]
        centred = values - mean.view(shape)
        variance = _over_all(centred.square().sum(across)) / number
        self._follow(mean.detach(), variance.detach() * number / (number - 1).clamp(min=1))
        normal: Tensor = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        share = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if share is None else share
        self.running_mean.lerp_(mean, share or 0.0)
        self.running_var.lerp_(variance, share or 0.0)


class _Summed(torch.autograd.Function):
    """The sum over all processes, to which each adds its own; so each gets the gradients of all."""

    @staticmethod
    def forward(_: Any, own: Tensor) -> Tensor:
        summed = own.clone()
        torch.distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        summed = gradient.contiguous().clone()
        torch.distributed.all_reduce(summed)
        return summed


def _over_all(own: Tensor) -> Tensor:
    summed: Tensor = _Summed.apply(own)
    return summed


@contextmanager
def joint_batchnorm(trees: Sequence[nn.Module]) -> Iterator[list[JointBatchNorm]]:
    """A block in which every BatchNorm of some modules that is in train mode looks at the images of all processes; it
    is given those that can be told not to. Parameters and statistics stay the very tensors that they are."""
    layers = {layer for tree in trees for layer in tree.modules() if isinstance(layer, _BatchNorm) and layer.training}
    made = {layer: _made_of(layer) for layer in layers}
    _replace(trees, made)
    try:
        yield [each for each in made.values() if isinstance(each, JointBatchNorm)]
    finally:
        for layer, joint in made.items():
            layer.train(joint.training)
        _replace(trees, {joint: layer for layer, joint in made.items()})


def _made_of(layer: _BatchNorm) -> _BatchNorm:
    on_gpu = layer.weight is not None and layer.weight.is_cuda
    kind = nn.SyncBatchNorm if on_gpu else JointBatchNorm
    how = (layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    with torch.device("meta"):
        made = kind(*how)
    for name, parameter in layer.named_parameters(recurse=False):
        setattr(made, name, parameter)
    for name, buffer in layer.named_buffers(recurse=False):
        setattr(made, name, buffer)
    return made.train(layer.training)


def _replace(trees: Sequence[nn.Module], others: dict[_BatchNorm, _BatchNorm]) -> None:
    for tree in trees:
        found = [(path, layer) for path, layer in tree.named_modules(remove_duplicate=False) if path]
        for path, layer in found:
            if isinstance(layer, _BatchNorm) and layer in others:
                tree.set_submodule(path, others[layer])
