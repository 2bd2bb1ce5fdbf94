"""What a pretrained network makes of every image of a data set at each of its depths, in one pass, and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from ft.cache.image_rows import about_images, image_names
from ft.cache.named_rows import Shelf
from ft.cache.rows import Shape
from ft.config.schema import ComponentConfig, Config
from ft.data.load import ImageData, Item
from ft.data.loaders import explained_deaths
from ft.data.transforms import network_input
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Backbone, Stage
from ft.job import Looking
from ft.machine.devices import processor
from ft.machine.display import Display
from ft.machine.memory import arrange_large_blocks, explained_shortage
from ft.machine.randomness import one_run_at_a_time, seed_all
from ft.machine.signals import StopRequest
from ft.model.freezing import frozen_digest
from ft.model.head import find_head_builder
from ft.model.layer_notes import layers_of, noted_layers
from ft.model.reading import read_by
from ft.model.stage_outputs import seconds_an_image, stages_watched
from ft.model.stages_read import averaged_and_normalised, stages_read, weights_of
from ft.opening import Opened, open_run
from ft.prefix.records import Tensors
from ft.run.locked import code_digest
from ft.training.predicting import predict_batches

TIMED = 8
"""Images of the batch by which the network's time is taken."""
_SIDE_BY_SIDE = "Try a smaller --set training.batch_size=8"


@dataclass(frozen=True, eq=False)
class Depth:
    """A depth of a network: everything up to and with a `stage`.

    `features` [N, D] are what it makes of each image: its output averaged over places; at the last depth, what the head
    reads. Behind it lie `behind` parameters, and an image takes `seconds` until there.
    """

    stage: str
    features: Tensor
    behind: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Looked:
    """All images of a data set, in the order train, val, test, as a network sees them at each of its depths, from input
    to output.

    `computed` is for how many it ran; the others were kept. An image takes `seconds` in all, in use, and the
    network has so many `parameters` without a head. `read_by` holds the stages that heads read which read several, by
    what names the head, and `not_read` why others cannot."""

    backbone: str
    data: ImageData
    items: tuple[Item, ...]
    depths: tuple[Depth, ...]
    computed: int
    seconds: float
    parameters: int
    read_by: Mapping[str, tuple[str, ...]]
    not_read: Mapping[str, str]

    def together(self, head: str) -> Tensor:
        """What a head gets that reads several stages [N, D1 + ... + D], each normalised and as heavy as any other."""
        features = [depth.features for depth in self.depths if depth.stage in self.read_by[head]]
        return _normalised(features)


def _normalised(features: Sequence[Tensor]) -> Tensor:
    weights = weights_of([each.shape[1] for each in features])
    parts = zip(features, weights, strict=True)
    return torch.cat([averaged_and_normalised(each, (), each.shape[1], weight) for each, weight in parts], 1)


@one_run_at_a_time()
def look(config: Config, plugins: Plugins, display: Display, heads: Sequence[ComponentConfig] = ()) -> Looked:
    """Run the network of a config once over every image of which its stages' outputs are not kept, and keep these.

    What `heads` read is found out, of those that read several stages. Raises FtError for what the user can mend.
    """
    seed_all(config.seed)
    arrange_large_blocks()
    opened = open_run(config, plugins, display, "pretrained", None)
    module, data, backbone = opened.model.module.eval(), opened.data, opened.built.backbone
    job = config.training.batch_size, config.machine.workers, opened.machine, display, StopRequest()
    looking = Looking(opened.built.preprocessing, *job)
    with (
        noted_layers(layers_of(opened.built.component, opened.model)),
        explained_deaths("Try again, or with --set machine.workers=0"),
        explained_shortage("Try a smaller --set training.batch_size=8"),
    ):
        until, seconds = _timed(module, backbone.stages, looking)
        reached = [stage for stage in backbone.stages if stage.name in until]
        rows, computed = _rows(opened, reached, looking)
    behind = _behind(backbone, reached)
    read_by, not_read = dict[str, tuple[str, ...]](), dict[str, str]()
    for head in heads:
        try:
            read = stages_read(backbone, *find_head_builder(head, plugins))
        except FtError as error:
            not_read[head.use] = str(error)
        else:
            if read:
                read_by[head.use] = read
            elif find_head_builder(head, plugins)[0].record.reads is not None:
                not_read[head.use] = f"of {backbone} it reads the last stage alone"
    depths = tuple(
        Depth(stage.name, features, behind[stage.name], until[stage.name])
        for stage, features in zip(reached, rows, strict=True)
    )
    parameters = sum(p.numel() for name, p in module.named_parameters() if not backbone.in_head(name))
    return Looked(config.backbone.use, data, data.items, depths, computed, seconds, parameters, read_by, not_read)


def _timed(module: nn.Module, stages: Sequence[Stage], looking: Looking) -> tuple[Mapping[str, float], float]:
    side, machine = looking.preprocessing.crop_size, looking.machine
    images = torch.zeros(TIMED, 3, side, side, dtype=torch.uint8)
    with machine.autocast():
        return seconds_an_image(module, stages, network_input(images, looking.preprocessing, machine))


def _rows(opened: Opened, stages: Sequence[Stage], looking: Looking) -> tuple[Tensors, int]:
    """The features at each depth, and for how many images the network ran."""
    data, built, machine = opened.data, opened.built, looking.machine
    module, names = opened.model.module, image_names(data.items, data, looking.preprocessing.value_range)
    backbone = built.backbone
    outside = [path for path, _ in module.named_modules() if path and not backbone.in_head(path)]
    about = {
        **about_images(looking.preprocessing),
        "promise": "stages",
        "backbone": built.reference,
        "network": frozen_digest(module, backbone.parameter_names(), outside),
        "code": code_digest(built.component),
        "stages": [stage.name for stage in stages],
        "precision": machine.precision,
        "processor": processor(machine.device),
    }
    shelf = Shelf(opened.store, about)
    found = shelf.find(names)
    missing = found.missing
    if missing:
        items = [data.items[number] for number in missing]
        fresh = _looked_at(opened, stages, items, looking)
        first = next(fresh)
        shapes = [Shape(tuple(tensor.shape[1:]), "float32") for tensor in first]
        found = shelf.add(found, {number: names[number] for number in missing}, shapes, chain([first], fresh))
    rows = found.rows.take(range(len(names)))
    return rows, len(missing)


def _looked_at(opened: Opened, stages: Sequence[Stage], items: Sequence[Item], looking: Looking) -> Iterator[Tensors]:
    """What each stage makes of a batch after the other; of the last stage, what the head reads."""
    module, digests = opened.model.module, opened.data.digests
    head = module.get_submodule(opened.model.head_paths[0])
    batches = predict_batches(module, items, looking, digests)
    with stages_watched(module, stages) as watched, read_by(head) as read, closing(batches):
        for _ in batches:
            yield (*(watched.outputs[stage.name] for stage in stages[:-1]), read[-1])
            read.clear()


def _behind(backbone: Backbone, stages: Sequence[Stage]) -> Mapping[str, int]:
    """How many parameters of the backbone lie behind each stage."""
    numel = {name: p.numel() for name, p in backbone.module.named_parameters() if not backbone.in_head(name)}
    left, behind = sum(numel.values()), dict[str, int]()
    for stage in stages:
        inside = (name for name in numel if any(name == path or name.startswith(f"{path}.") for path in stage.paths))
        left -= sum(numel[name] for name in inside)
        behind[stage.name] = left
    return behind
