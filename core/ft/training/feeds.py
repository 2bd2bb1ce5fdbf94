"""What the training loop is fed with: images through the whole network, or kept features through the rest of it.

Between training steps nothing runs in inference mode: a layer may keep what it makes, and train with that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import nn

from ft.cache.decision import keep_images, plan_stricter
from ft.cache.features import get_features
from ft.cache.image_rows import image_parts
from ft.cache.kept_images import KeptImages, get_images, kept_training_batches, kept_validation_batches
from ft.cache.proof import NotProved, prove
from ft.cache.store import FeatureStore
from ft.cache.writer import NotKept
from ft.data.dataset import ImageDataset
from ft.data.loaders import Loader, Workers, loader_processes
from ft.data.order import own_batches, spans
from ft.data.transforms import network_input, train_transform
from ft.errors import FtError
from ft.job import Job
from ft.machine.memory import give_back_freed_memory, is_out_of_memory
from ft.plan.records import CacheCost, CachePlan, Plan
from ft.prefix.find import FrozenPrefix
from ft.prefix.sections import NotWhole
from ft.prefix.split import needed_no_more
from ft.prefix.state import attributes_kept
from ft.tracking.events import FeaturesReady, ImagesReady
from ft.training.blending import ITSELF, Blend
from ft.training.feature_feed import FeatureFeed
from ft.training.predicting import predict_batches, predict_loaded

_REFUSALS = (NotProved, NotWhole, NotKept, RuntimeError, MemoryError)
"""What the proof raises where nothing can be computed once."""


class Feed(Protocol):
    """Inputs of every step, and what turns them into outputs. The network's modes are the caller's to set. Of several
    processes, each is fed its share of every batch, and of the batches of validation."""

    cost: CacheCost
    idle: frozenset[str]
    """Names of parameters that training and validation do not read."""
    torch_only: bool
    """Whether `forward`, and what goes backward from it, draws from no generators but torch's."""

    @property
    def graphs(self) -> Sequence[nn.Module]:
        """What computes instead of the network, with its layers."""

    @property
    def prefixes(self) -> Sequence[nn.Module]:
        """What computes features with layers of the network, before the steps and perhaps in some of them."""

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[Any, torch.Tensor]]:
        """Yield (inputs, targets [N, ...] on the CPU) of an epoch's steps after the first `skip`."""

    def forward(self, inputs: Any, blend: Blend = ITSELF) -> Any:
        """The network's outputs in train mode for a batch's inputs, blended."""

    def validation(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (outputs [N, K] in float32, targets [N, ...]), both on the CPU, for the validation images in their
        order."""

    def close(self) -> None:
        """Let go of processes and memory."""


def open_feed(module: nn.Module, plan: Plan, prefix: FrozenPrefix | None, store: FeatureStore, job: Job) -> Feed:
    """Return the feed that the plan chose, once it is proved on real images to be what was promised.

    Where the proof fails, the whole network runs in every epoch and a warning says why; images are still kept decoded.
    """
    cache, started = plan.cache, time.perf_counter()
    if prefix is not None:
        found = _feature_feed(module, prefix, plan, store, job)
        if not isinstance(found, str):
            return found
        why = found
        if job.config.training.manifold_mixup:
            raise FtError(
                "--manifold-mixup blends what leaves the frozen prefix, and that cannot be computed once after all: "
                f"{why}. Use --mixup, which blends images"
            )
        job.display.warn(f"the frozen prefix is computed in every epoch after all: {why}")
        cache = keep_images(why, job.config, job.preprocessing.crop_size, cache.images)
    if cache.keeps == "images":
        try:
            return _kept_image_feed(module, cache, store, job, started)
        except NotKept as error:
            cache = CachePlan("off", _why_not(error, job))
        job.display.warn(f"images are decoded in every epoch after all: {cache.reason}")
    transform = train_transform(job.preprocessing, job.augmentation)
    dataset = ImageDataset(job.data.train, transform, job.config.seed, job.config.images.replayed, job.data.digests)
    cost = CacheCost("off", cache.reason)
    return ImageFeed(module, cost, job, _own_loader(dataset, job))


def _own_loader(dataset: ImageDataset, job: Job) -> Loader:
    """The processes that decode the training images which this process computes."""
    size, seed, shuffle = job.config.training.batch_size, job.config.seed, job.data.shuffle

    def batches(epoch: int) -> list[list[int]]:
        return own_batches(len(dataset), size, seed, epoch, shuffle, job.stepping.share)

    workers = Workers(job.workers, job.machine.device)
    return Loader(dataset, batches, loader_processes(workers, len(batches(0))), workers.device, job.stop)


def _why_not(error: Exception, job: Job) -> str:
    """Why nothing is computed once although that was planned. Raises `error` where that is no reason to go on."""
    demanded = job.config.cache.promise != "auto"
    if isinstance(error, NotProved | NotWhole) or (isinstance(error, NotKept) and not demanded):
        return str(error)
    if is_out_of_memory(error):
        return "memory runs out where it would be computed once"
    raise error


def _feature_feed(
    module: nn.Module, prefix: FrozenPrefix, plan: Plan, store: FeatureStore, job: Job
) -> FeatureFeed | str:
    """Keep features under the plan's promise, or, where the proof of it fails, under a stricter one, which a warning
    says; or return why under none."""
    try:
        # What is bit for bit the plain loop's is computed as there, also where that is in bf16.
        with job.machine.autocast() if plan.cache.promise == "exact" else nullcontext():
            return _proved_feed(module, prefix, plan, store, job)
    except (NotProved, NotWhole, NotKept, RuntimeError, MemoryError) as error:
        why, unproved = _why_not(error, job), isinstance(error, NotProved)
    stricter = plan_stricter(module, plan, why, job) if unproved else None
    if stricter is None:
        return why
    cache, prefix = stricter
    job.display.warn(f"features are not kept as '{plan.cache.promise}' promises, so '{cache.promise}' is tried: {why}")
    return _feature_feed(module, prefix, replace(plan, cache=cache), store, job)


def _proved_feed(module: nn.Module, prefix: FrozenPrefix, plan: Plan, store: FeatureStore, job: Job) -> FeatureFeed:
    cache, started = plan.cache, time.perf_counter()
    assert cache.promise != "off"
    with attributes_kept(module):  # what a layer keeps of inference mode is no good for training
        job.processes.doing("proving what is computed once")
        with job.display.progress("proof"), job.processes.all_or_none(*_REFUSALS):
            proved, decoded = prove(module, prefix, plan, store, job)
        if len(set(job.processes.gathered((str(proved.cut), proved.any_size)))) > 1:
            raise NotProved("on processors that differ, other layers compute an image differently beside others")
        give_back_freed_memory()
        proof = time.perf_counter() - started
        for note in proved.notes:
            job.display.say(note)
        features = get_features(proved, cache.promise, store, job)
    cost = CacheCost(
        promise=cache.promise,
        reason=cache.reason,
        computed=features.computed,
        decoded=job.data.decoded + decoded + features.decoded,
        seconds=time.perf_counter() - started,
        proof_seconds=proof,
        pass_seconds=features.pass_seconds,
        ceiling=proved.cut.ceiling,
    )
    job.tell(FeaturesReady(cost.computed, cost.decoded, cost.seconds))
    idle = needed_no_more(module, proved.halves) if proved.any_size else frozenset[str]()
    return FeatureFeed(replace(proved, trial=None), features, cost, idle, job)


def _kept_image_feed(module: nn.Module, cache: CachePlan, store: FeatureStore, job: Job, started: float) -> ImageFeed:
    training, validation = image_parts(job)
    train, decoded = get_images(store, training, job)
    val, more = get_images(store, validation, job)
    decoded += more
    seconds = time.perf_counter() - started
    job.tell(ImagesReady(decoded, seconds, job.data.decoded))
    cost = CacheCost(cache.promise, cache.reason, decoded=job.data.decoded + decoded, seconds=seconds)
    kept = kept_validation_batches(val, validation, job)
    return ImageFeed(module, cost, job, kept_training_batches(train, training, job), kept)


class ImageFeed:
    """The plain loop: images through the whole network in every epoch, as `images` brings them: decoded anew, or kept.

    Validation images come from `validation_images`, or are decoded each time.
    """

    def __init__(
        self,
        module: nn.Module,
        cost: CacheCost,
        job: Job,
        images: Loader | KeptImages,
        validation_images: KeptImages | None = None,
    ) -> None:
        self.cost, self.idle, self.torch_only = cost, frozenset[str](), False
        self.graphs: Sequence[nn.Module] = ()
        self.prefixes: Sequence[nn.Module] = ()
        self._module, self._job, self._images, self._validation_images = module, job, images, validation_images

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[Any, torch.Tensor]]:
        for pixels, targets, _ in self._images.epoch(epoch, skip):
            yield pixels, targets

    def forward(self, inputs: Any, blend: Blend = ITSELF) -> Any:
        return self._module(blend.of(network_input(inputs, self._job.preprocessing, self._job.machine)))

    def validation(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        job = self._job
        if self._validation_images is None:
            own = job.stepping.share.of(spans(len(job.data.val), job.config.training.batch_size))
            items = [item for start, end in own for item in job.data.val[start:end]]
            return predict_batches(self._module, items, job, job.data.digests)
        return predict_loaded(self._module, self._validation_images, job)

    def close(self) -> None:
        self._images.close()
