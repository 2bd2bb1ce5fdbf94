"""BatchNorm that trains over the images of all processes, as if one had computed them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from ft.machine.distributed import Processes

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class JointBatchNorm(_BatchNorm):
    """BatchNorm whose mean and variance, in train mode, are those of the images of all processes.

    torch.nn.SyncBatchNorm does the same and asks for a GPU. `is_joint` is False while every process computes the same
    images; `group` is what its sums go through.
    """

    is_joint = True
    group: ProcessGroup | None = None

    def _check_input_dim(self, input: Tensor) -> None:
        """Any dimensions do, as the layer in whose place it stands has its own."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.is_joint:
            return super().forward(input)
        normal, mean, variance, number = _Normalised.apply(input.float(), self.weight, self.bias, self.eps, self.group)
        self._follow(mean, variance * number / (number - 1).clamp(min=1))
        result: Tensor = normal.to(input.dtype)
        return result

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


class _Normalised(torch.autograd.Function):
    """Values [N, C, ...] normalised for each channel by the mean and variance over all processes, which are returned as
    well, with the number of values of a channel.

    Each process sends its own mean and squared deviations, once, and these are combined (Chan, Golub, LeVeque 1979), so
    a mean that is large beside the deviations costs no digits; on the way back two sums a channel are sent, once.
    """

    @staticmethod
    def forward(
        kept: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, group: ProcessGroup | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        across, shape = _across(values)
        own_mean = values.mean(across)
        deviations = (values - own_mean.view(shape)).square_().sum(across)
        own = torch.cat([own_mean, deviations, own_mean.new_tensor([values.numel() // values.shape[1]])])
        everyone = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size(group))]
        torch.distributed.all_gather(everyone, own, group)
        means, squares, numbers = torch.split(torch.stack(everyone), [len(own_mean), len(own_mean), 1], 1)
        number = numbers.sum()
        mean = (means * numbers).sum(0) / number
        variance = (squares + (means - mean).square() * numbers).sum(0) / number
        kept.save_for_backward(values, weight, mean, torch.rsqrt(variance + eps), number)
        kept.group = group
        kept.mark_non_differentiable(mean, variance, number)
        return nn.functional.batch_norm(values, mean, variance, weight, bias, eps=eps), mean, variance, number

    @staticmethod
    @once_differentiable
    def backward(kept: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
        values, weight, mean, scale, number = kept.saved_tensors
        across, shape = _across(values)
        own = torch.stack([gradient.sum(across), (values - mean.view(shape)).mul_(gradient).sum(across) * scale])
        summed = own.clone()
        torch.distributed.all_reduce(summed, group=kept.group)
        plain, along = summed / number
        # (gradient - plain - normal * along) * scale * weight, where normal = (values - mean) * scale
        steep = scale if weight is None else scale * weight
        slope = -steep * scale * along
        offset = -steep * plain - slope * mean
        result = torch.addcmul(offset.view(shape), values, slope.view(shape)).addcmul_(gradient, steep.view(shape))
        return result, *((None, None) if weight is None else (own[1], own[0])), None, None


def _across(values: Tensor) -> tuple[list[int], list[int]]:
    """The dimensions of a channel's values, and the shape of one number a channel beside them."""
    return [0, *range(2, values.ndim)], [1, -1, *[1] * (values.ndim - 2)]


@contextmanager
def joint_batchnorm(trees: Sequence[nn.Module], processes: Processes) -> Iterator[list[JointBatchNorm]]:
    """A block in which every BatchNorm of some modules that is in train mode looks at the images of all processes; it
    is given those that can be told not to. Parameters and statistics stay the very tensors that they are."""
    layers = {layer for tree in trees for layer in tree.modules() if isinstance(layer, _BatchNorm) and layer.training}
    made = {layer: _made_of(layer) for layer in layers}
    joint = [each for each in made.values() if isinstance(each, JointBatchNorm)]
    _replace(trees, made)
    try:
        # Else a sum of a few numbers would wait, in the backward pass, until the gradients before it are sent.
        with processes.other_way() if joint else nullcontext() as group:
            for each in joint:
                each.group = group
            yield joint
    finally:
        for layer, other in made.items():
            layer.train(other.training)
        _replace(trees, {other: layer for layer, other in made.items()})


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
