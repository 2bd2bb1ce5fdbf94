"""Gathers what a pretrained network makes of every image of a data set: opened as a run is, and nothing trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ft.cache.store import FeatureStore
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.data.copies import warn_of_copies
from ft.data.load import ImageData, Item
from ft.data.loaders import explained_deaths
from ft.data.splits import Split
from ft.data.values import Range
from ft.deciding import Prepared, decide
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.tasks import label_text
from ft.job import Job
from ft.machine.display import Display
from ft.machine.memory import explained_shortage
from ft.machine.randomness import one_run_at_a_time, seed_all
from ft.machine.signals import StopRequest
from ft.model.layer_notes import noted_layers
from ft.model.reading import read_by
from ft.opening import open_run
from ft.prefix.linear import before_layer
from ft.tracking.events import Event
from ft.training.feature_feed import FeatureFeed
from ft.training.feeds import Feed, open_feed
from ft.training.predicting import predict_batches

TAKEN = ("data.", "task", "split.", "weights", "backbone.", "cache.", "machine.", "seed", "training.batch_size")
"""Beginnings of the keys that decide something here, besides those of images that are no augmentation."""
OF_IMAGES = ("images.range=", "images.size=", "images.fit=", "images.bad=")
OF_THE_DATA = ("data.", "task", "split.", "images.range=")
"""Beginnings of the keys that matter where no network looks at the images."""


MOST = 10_000
"""Images of a run up to which it is looked as it ends what their features tell: that takes time with the square of
their number."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """Images of a data set, in the order train, val, test, and what a linear head would read of each of the first N,
    `items`: `features` [N, D].

    `computed` is how many of them the network had to be run for; the others were kept. In the `value_range` lie values
    that become black and white, of images with more than 8 bits. The `store` is where more may be kept, if anything
    is. `warnings` are what a run would warn of, but for copies.
    """

    data: ImageData
    features: Tensor
    computed: int
    value_range: Range | None
    store: FeatureStore | None
    warnings: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """The images with features."""
        return self.data.items[: len(self.features)]

    @property
    def splits(self) -> tuple[Split, ...]:
        """The split of each image of the data set."""
        return tuple(split for split, items in self.data.parts.items() for _ in items)

    def said(self) -> list[tuple[str, str, str]]:
        """The name, split and label of each image of the data set."""
        pairs = zip(self.data.items, self.splits, strict=True)
        return [(item.picture.name, split, label_text(item.label)) for item, split in pairs]


def config_to_gather(data: str, flags: Mapping[str, str | None], sets: Sequence[str]) -> Config:
    """The config of a run that would train a linear head and no more, with the `flags` "backbone" and perhaps "task":
    its features are the same.

    Raises FtError for a key that changes nothing here.
    """
    if others := [text for text in sets if not text.startswith((*TAKEN, *OF_IMAGES))]:
        raise FtError(
            f"--set {others[0]} changes nothing here; there may be keys of data, task, split, weights, backbone, cache "
            "and machine, seed, training.batch_size, and images.range, size, fit and bad"
        )
    given = {key: value for key, value in flags.items() if value is not None}
    return load_config(None, sets, {**given, "data": data, "freeze": ["all"]})


@one_run_at_a_time()
def gather(config: Config, plugins: Plugins, display: Display) -> Gathered:
    """Run the network once over every image whose features are not kept, keep them, and return those of all.

    They are what `ft run` computes once with the same backbone and preprocessing, and finds again; where it keeps none,
    they are not kept here either. Raises FtError for what the user can mend.
    """
    seed_all(config.seed)  # as a run does
    opened = open_run(config, plugins, display, "pretrained", None)
    data, stop = opened.data, StopRequest()
    # Test images go with those of validation, which are looked at in the same way.
    measured = replace(data, val=(*data.val, *data.test), test=())
    ready = decide(replace(opened, data=measured), plugins, display, None)
    job = ready.job(display, stop, _nobody)
    with (
        noted_layers(ready.layers),
        explained_deaths("Try again, or with --set machine.workers=0"),
        explained_shortage("Try a smaller --set training.batch_size=8"),
    ):
        features, computed = _features(ready, ready.store, job)
    broken = (~features.isfinite().all(1)).nonzero().flatten().tolist()
    if broken:
        raise FtError(
            f"the features of {len(broken)} of {len(features)} images are not finite, those of "
            f"{measured.items[broken[0]].picture.name} first; try --set machine.precision=fp32, or other weights"
        )
    of_copies = warn_of_copies(replace(data, warnings=())).warnings  # which are told of one by one
    warnings = tuple(text for text in ready.data.warnings if text not in of_copies)
    kept = None if ready.config.cache.promise == "off" else ready.store
    return Gathered(data, features, computed, job.preprocessing.value_range, kept, warnings)


def gathered_by(feed: Feed, ready: Prepared) -> Gathered | None:
    """What a run that trained its head alone kept of its training and validation images; None where it trained more, as
    it may have in another phase, kept nothing or other views, has more images than are looked at as a run ends, is to
    have no page, or does not show what the head reads. No network runs for it but what follows the cut: the head."""
    config, names = ready.config, ready.built.backbone.parameter_names()
    if not isinstance(feed, FeatureFeed) or config.images.varies or not config.report.html:
        return None
    if ready.plan.place.of > 1 or len(ready.data.items) > MOST or not set(ready.plan.frozen) >= set(names):
        return None
    features = _of_feed(feed, ready)
    if features is None:
        return None
    return Gathered(ready.data, features, 0, ready.built.preprocessing.value_range, ready.store)


def _features(ready: Prepared, store: FeatureStore, job: Job) -> tuple[Tensor, int]:
    """What the head reads of training images, then of all others, and how many images that took the network for."""
    module, plan, items = ready.model.module, ready.plan, job.data.items
    with closing(open_feed(module, plan, ready.prefix, store, job)) as feed:
        kept = _of_feed(feed, ready) if isinstance(feed, FeatureFeed) else None
        if kept is not None:
            return kept, feed.cost.computed
        return _through_all(module, module.get_submodule(ready.model.head_paths[0]), items, job), len(items)


def _of_feed(feed: FeatureFeed, ready: Prepared) -> Tensor | None:
    """What the head reads of the training images of a feed, then of its validation images; None where what follows
    kept features does not show where the head begins."""
    ready.model.module.eval()
    before = before_layer(feed.suffix_eval, ready.model.head_paths[0])
    if before is None:
        return None
    read = [*feed.training_reads(before), *feed.validation_reads(before)]
    return torch.cat([(each if each.ndim == 2 else each.flatten(2).mean(2)).cpu() for each in read])


def _through_all(module: nn.Module, head: nn.Module, items: Sequence[Item], job: Job) -> Tensor:
    with read_by(head) as read, closing(predict_batches(module, items, job, job.data.digests)) as batches:
        for _ in batches:
            pass
    return torch.cat(read)


def _nobody(event: Event) -> None:
    """Nobody listens: this is no run."""
