"""What a head reads beside the features: outputs of stages, for a network that is rewired so that it gets them.

The features of the last stage were made for the photographs of pretraining; what earlier stages see, as lines and
textures, often tells more of other images (Evci et al. 2022, "Head2Toe: Utilizing Intermediate Representations for
Better Transfer Learning"). Stages themselves stay as they are: only the code between them and before the head is
written anew, as a graph of torch.fx, whose stages are the network's own modules under their own names.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import layer_norm

from ft.errors import FtError, did_you_mean
from ft.extension.installed import Component, implementation
from ft.extension.records import Backbone, Stage
from ft.machine.randomness import random_state_kept
from ft.model.stage_outputs import places_of
from ft.prefix.graph import first_line
from ft.text.counting import number_of

_EXAMPLES = 2


class _CannotRead(Exception):
    """Why a network's stages cannot be read, said of it."""


def with_stages_read(backbone: Backbone, component: Component, settings: Any) -> tuple[Backbone, str]:
    """The backbone whose classifier gets what a head reads, and what that is; as it is, and "", for a usual head.

    In place of [N, D] the classifier of one that is rewired gets [N, D1 + ... + D]: the outputs of the stages that the
    head names, each averaged over places and normalised, and the features, normalised. It shares all layers with the
    one that was given. Where the code between stages cannot be followed, or the classifier reads no vector, the head
    reads the features alone, or raises FtError where it cannot do without stages.
    """
    if component.record.reads is None:
        return backbone, ""
    rewired = _as_read(backbone, component, settings)
    return (backbone, rewired) if isinstance(rewired, str) else (rewired.backbone, rewired.told)


def stages_read(backbone: Backbone, component: Component, settings: Any) -> tuple[str, ...]:
    """The names of the stages that a head reads, in the network's order; () where it reads the features alone. Raises
    FtError as `with_stages_read` does."""
    if component.record.reads is None:
        return ()
    rewired = _as_read(backbone, component, settings)
    return () if isinstance(rewired, str) else rewired.stages


@dataclass(frozen=True, eq=False)
class _Rewired:
    """A backbone whose classifier gets the outputs of these `stages`, and what is told of that."""

    backbone: Backbone
    stages: tuple[str, ...]
    told: str


def _as_read(backbone: Backbone, component: Component, settings: Any) -> _Rewired | str:
    """The backbone as a head reads it that reads stages, or what is told where it reads the features alone."""
    reads = implementation(component, "reads")
    try:
        _check_classifier(backbone)
        names = _names(backbone)
        return _rewired(backbone, _named(reads(names, settings) or (), component, backbone))
    except _CannotRead as reason:
        if reads((), settings) is not None:
            return f"the features alone: {backbone} {reason}"
        asked = f"--head {component.name} reads several stages of {backbone}"
        raise FtError(f"{asked}, which {reason}; use --head linear") from reason


def _check_classifier(backbone: Backbone) -> None:
    if backbone.head_form == "map":
        raise _CannotRead("classifies every position")
    if len(backbone.head_paths) > 1:
        raise _CannotRead("has auxiliary classifiers")


def _names(backbone: Backbone) -> tuple[str, ...]:
    """Stages that give something: parameters alone, as a class token, do not, and the last one gives the features."""
    modules = dict(backbone.module.named_modules())
    return tuple(stage.name for stage in backbone.stages[:-1] if any(path in modules for path in stage.paths))


def _named(names: Sequence[str], component: Component, backbone: Backbone) -> list[Stage]:
    """The stages of these names, in the network's order."""
    have = _names(backbone)
    for name in names:
        if name not in have:
            near = did_you_mean(name, have)
            raise FtError(
                f"head '{component.name}' is to read stage '{name}', and {backbone} has none before its last that is "
                f"named so.{near} There are: {', '.join(have)}"
            )
    return [stage for stage in backbone.stages if stage.name in set(names)]


def _rewired(backbone: Backbone, stages: Sequence[Stage]) -> _Rewired:
    module = backbone.module
    graph = _between_stages(backbone)
    head = next((node for node in graph.nodes if node.target == backbone.head_paths[0]), None)
    if head is None:
        raise _CannotRead("has its classifier not in what it computes")
    ends = {stage.name: node for stage in stages if (node := _end(graph, stage)) is not None}
    seen = _seen(module, graph, backbone)
    found = [*ends.items(), (backbone.stages[-1].name, head.args[0])]
    read = {name: _Read.of(node, seen[node]) for name, node in found if _is_output(seen.get(node))}
    weights, parts = weights_of([each.width for each in read.values()]), list[fx.Node]()
    for each, weight in zip(read.values(), weights, strict=True):
        with graph.inserting_after(each.node):  # before a layer that works in place changes it
            parts.append(graph.call_function(averaged_and_normalised, (each.node, each.places, each.width, weight)))
    with graph.inserting_before(head):
        together = graph.call_function(torch.cat, (parts, 1))
    head.args = (together, *head.args[1:])
    rewired = fx.GraphModule(module, graph, class_name=type(module).__name__)
    rewired.train(module.training)
    missing = module.state_dict().keys() - rewired.state_dict().keys()
    if missing:
        raise _CannotRead(f"does not use all that it holds: {min(missing)}")
    total = sum(each.width for each in read.values())
    told = f"{total:,} numbers of {number_of(len(read), 'stage')}: "
    told += ", ".join(f"{name} {each.width}" for name, each in read.items())
    return _Rewired(replace(backbone, module=rewired, feature_dim=total), tuple(read), told)


def weights_of(widths: Sequence[int]) -> list[float]:
    """The deviation with which outputs of so many numbers count the same each, whatever their width, and all together
    as much as if none was weighed."""
    return [math.sqrt(sum(widths) / len(widths) / width) for width in widths]


def averaged_and_normalised(output: Tensor, places: tuple[int, ...], width: int, weight: float) -> Tensor:
    """What a stage gives, averaged over `places`, [N, width], each row with a mean of 0 and a deviation of `weight`."""
    return layer_norm(output.mean(places) if places else output, (width,)) * weight


@dataclass(frozen=True, eq=False)
class _Read:
    """A node whose value is read, the dimensions of it that are places, and its `width` without them."""

    node: fx.Node
    places: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, node: fx.Node, value: Tensor) -> _Read:
        places = places_of(value)
        return cls(node, places, (value.mean(places) if places else value).shape[1])


def _is_output(value: object) -> bool:
    """Whether it is what a stage may give: a map, tokens or a vector of each image."""
    return isinstance(value, Tensor) and len(value) == _EXAMPLES and value.ndim in (2, 3, 4)


class _Tracer(fx.Tracer):
    """Follows a network's code only where there are stages further in, and calls all other modules as they are."""

    def __init__(self, inside: frozenset[str]) -> None:
        super().__init__()
        self.inside = inside

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.inside


def _between_stages(backbone: Backbone) -> fx.Graph:
    """What the network computes between its stages, which has to be the same in training and in evaluation."""
    modules = dict(backbone.module.named_modules())
    ends = [path for stage in backbone.stages for path in stage.paths if path in modules]
    ends += [*backbone.head_paths, *filter(None, [backbone.pool_path])]
    inside = frozenset(itertools.chain.from_iterable(map(_above, ends)))
    graphs = list[fx.Graph]()
    modes = {part: part.training for part in modules.values()}
    try:
        for training in (True, False):
            backbone.module.train(training)
            with random_state_kept():
                graphs.append(_Tracer(inside).trace(backbone.module))
    except Exception as error:  # of a network's own code
        raise _CannotRead(f"cannot be followed from stage to stage ({first_line(error)})") from error
    finally:
        for part, training in modes.items():
            part.training = training
    first, second = (str(graph) for graph in graphs)
    if first != second:
        raise _CannotRead("computes something else in training than in evaluation")
    return graphs[0]


def _above(path: str) -> list[str]:
    """The paths of what a module lies in."""
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _end(graph: fx.Graph, stage: Stage) -> fx.Node | None:
    """The call of whichever module of a stage returns last."""
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target in stage.paths]
    return calls[-1] if calls else None


def _seen(module: nn.Module, graph: fx.Graph, backbone: Backbone) -> dict[Any, Any]:
    """What each node gives for images that say nothing."""
    seen = dict[Any, Any]()

    class _Keeping(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            seen[n] = super().run_node(n)
            return seen[n]

    side = backbone.fixed_image_size or max(backbone.min_image_size, backbone.preprocessing.crop_size)
    like = next(module.parameters())
    images = torch.zeros(_EXAMPLES, 3, side, side, device=like.device, dtype=like.dtype)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with random_state_kept(), torch.no_grad():
            _Keeping(fx.GraphModule(module, graph)).run(images)
    finally:
        for part, training in modes.items():
            part.training = training
    return seen
