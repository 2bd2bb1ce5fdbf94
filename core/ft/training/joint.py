"""Steps that several processes take together: each computes its images of a batch, and all get its gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ft.data.order import Places
from ft.job import Job
from ft.machine.memory import fit_in_memory
from ft.task.evaluation import Answered
from ft.training.blending import Blend
from ft.training.drawn_together import drawn_together
from ft.training.feeds import Feed
from ft.training.joint_batchnorm import JointBatchNorm, joint_batchnorm
from ft.training.sharded import Shards, sharded

T = TypeVar("T")


class Joint:
    """What computes a step's outputs, and what adds up the gradients of processes: DistributedDataParallel over what
    trains, which sends some while others are still computed, or where the network is spread over them, its `shards`.

    Where a batch may be computed in parts because memory runs out, which one process finds out while another sends, the
    gradients are sent once all have computed theirs.
    """

    def __init__(
        self, module: nn.Module, feed: Feed, job: Job, layers: list[JointBatchNorm], shards: Shards | None = None
    ) -> None:
        self.feed, self._processes, self._stop, self._layers = feed, job.processes, job.stop, layers
        self._shards = shards
        self._asked = self._rehearses = False
        self._rehearsed = 0
        self._trained = [each for each in module.parameters() if each.requires_grad]
        self._forward: Callable[[Any, Blend], Any] = feed.forward
        self._sends_meanwhile = not job.stepping.alone and not job.config.training.auto_batch
        if self._sends_meanwhile and shards is None:
            # Only what trains is handed over, so nothing else is in its buckets, and no buffer is sent.
            self._forward = DistributedDataParallel(_Trained(self._trained, feed.forward), gradient_as_bucket_view=True)

    @property
    def alone(self) -> bool:
        return self._processes.alone

    def forward(self, inputs: Any, blend: Blend) -> Any:
        """The outputs for a batch's inputs, blended."""
        return self._forward(inputs, blend)

    def validation(self) -> Iterator[Answered]:
        """Yield what the feed's validation does."""
        outputs = self.feed.validation()
        return outputs if self._shards is None else self._shards.together(outputs)

    def whole(self, tensors: Mapping[str, T]) -> Mapping[str, T]:
        """All of some tensors, by name or in mappings by name, where they are to be saved; each process has to ask for
        them."""
        return tensors if self._shards is None else self._shards.whole(tensors)

    def drawing(self, places: Places) -> AbstractContextManager[Any]:
        """A block in which the images at some places of a batch are computed."""
        for layer in self._layers:
            layer.is_joint = not (places.each_computes_all or self._rehearses)
        return nullcontext() if places.each_computes_all else drawn_together(places.own, places.size)

    def share_of(self, part: float, whole: float, places: Places) -> float:
        """What a loss over images that weigh `part` counts of that of a batch that weighs `whole`; nothing where
        nothing is known of its images."""
        share = part / whole if whole else 0.0
        return share / self._processes.share.world if places.each_computes_all else share

    @property
    def scale(self) -> int:
        """What a loss is multiplied by before its gradients are made: sent meanwhile, they are averaged."""
        return self._processes.share.world if self._sends_meanwhile else 1

    def fit_in_memory(self, attempt: Callable[[int], T], parts: int, most: int) -> tuple[T, int]:
        """What `ft.machine.memory.fit_in_memory` returns, in as many parts as that process needs which needs most; the
        gradients are then those of all processes."""
        if self._sends_meanwhile:  # no other attempt can be made once others have this one's gradients
            return attempt(parts), parts
        result, needed = fit_in_memory(attempt, parts, most)
        if self._processes.alone:
            return result, needed
        while self._processes.largest(needed) > -self._processes.largest(-needed):
            agreed = self._processes.largest(needed)
            if needed < agreed:
                result, needed = fit_in_memory(attempt, agreed, max(agreed, most))
        self._add_gradients()
        return result, needed

    @contextmanager
    def rehearsing(self, places: Places) -> Iterator[bool]:
        """A block that is told whether it has to find out in how many parts a batch fits into everybody's memory.

        Where BatchNorm trains, processes send to each other in the middle of a step; so none may run out of memory
        there, and a step of that size is rehearsed once, in which each looks at its own images.
        """
        is_new = len(places.own) > self._rehearsed and bool(self._layers) and not self._sends_meanwhile
        self._rehearses, self._rehearsed = is_new, max(self._rehearsed, len(places.own))
        try:
            yield is_new
        finally:
            self._rehearses = False

    def summed(self, loss: float) -> float:
        """What the parts of a step's loss that processes computed come to."""
        loss, asked = self._processes.summed(loss, self._stop.signal_number is not None)
        self._asked = bool(asked)
        return loss

    def counted(self, answers: list[Answered], places: Places) -> list[Answered]:
        """The answers that this process counts: none of a batch that the first one answers as well."""
        return answers if self._processes.is_first or not places.each_computes_all else []

    def check_stop(self) -> None:
        """Raise StopAsked where a signal asks to stop: of several processes in each, after the same step."""
        if self.alone:
            self._stop.check()
        elif self._asked:
            self._stop.stop()

    def _add_gradients(self) -> None:
        gradients = [each.grad for each in self._trained if each.grad is not None]
        flat = torch.cat([each.flatten() for each in gradients])
        torch.distributed.all_reduce(flat)
        for gradient, summed in zip(gradients, torch.split(flat, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


class _Trained(nn.Module):
    """Parameters that train, and what computes with them."""

    def __init__(self, parameters: list[nn.Parameter], forward: Callable[[Any, Blend], Any]) -> None:
        super().__init__()
        self.parameters_that_train = nn.ParameterList(parameters)
        self._compute = forward

    def forward(self, inputs: Any, blend: Blend) -> Any:
        return self._compute(inputs, blend)


@contextmanager
def joint_steps(module: nn.Module, feed: Feed, job: Job) -> Iterator[Joint]:
    """A block in which `module`, in the modes that it trains in, takes its steps together with other processes; signals
    that ask to stop wait until all agree on it."""
    if job.stepping.alone:
        yield Joint(module, feed, job, [])
        return
    with job.stop.deferred(), joint_batchnorm([module, *feed.graphs], job.processes) as layers:
        if not job.config.machine.shard:
            yield Joint(module, feed, job, layers)
            return
        with sharded(module, feed, job) as shards:
            yield Joint(module, feed, job, layers, shards)
