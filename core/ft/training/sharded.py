"""A network in parts: of its parameters, gradients and optimizer state each process holds its share, and all of a block
only while that is computed (torch's `fully_shard`, or FSDP2)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from ft.data.order import spans
from ft.data.transforms import network_input
from ft.errors import FtError
from ft.job import Job
from ft.machine.distributed import Share
from ft.machine.layout import size
from ft.machine.parts import held_here, whole
from ft.plan.sharing import large_modules
from ft.prefix.state import state_kept
from ft.training.feeds import Feed

T = TypeVar("T")


class Shards:
    """A network that is spread over processes, in the block that `sharded` is."""

    def __init__(self, root: _Unit, units: Sequence[_Unit], job: Job) -> None:
        self._root, self._units, self._processes = root, units, job.processes
        first = Share(0, job.processes.share.world)
        self._validated = len(first.of(spans(len(job.data.val), job.config.training.batch_size)))

    def whole(self, tensors: Mapping[str, T]) -> dict[str, T]:
        """All of some tensors, by name or in mappings by name, on the CPU of the first process; nothing in the others,
        each of which has to ask for them, too."""
        gathered: dict[str, Any] = {}
        for name, value in tensors.items():
            made: Any = value
            if isinstance(value, Mapping):
                made = self.whole(value)
            elif isinstance(value, Tensor):
                made = whole(value.detach()).cpu()
            if self._processes.is_first:
                gathered[name] = made
        return gathered

    def together(self, outputs: Iterator[T]) -> Iterator[T]:
        """Yield what the network makes of the validation images. The first process may have more batches of them than
        another, which then gives its parts as often as the others need them."""
        before = self._root.calls
        _of(self._root).unshard()
        yield from outputs
        for _ in range(self._validated - (self._root.calls - before)):
            for unit in self._units:
                _of(unit).unshard()
                _of(unit).reshard()
        _of(self._root).reshard()


@contextmanager
def sharded(module: nn.Module, feed: Feed, job: Job) -> Iterator[Shards]:
    """A block in which each process holds its share of what `module` and the feed's graphs compute a step with, and of
    the gradients; after it, each has all of it again, unless it ended in an error.

    A block of the network is a module of its stages that is called as a whole, once. What lies in none of them is
    gathered once a step, as is all that follows kept features. What only the frozen prefix reads is left as it is.
    Raises FtError for a parameter that trains and has no dimension to divide.
    """
    job.processes.doing("dividing the network")
    entries = nn.ModuleList([module, *feed.graphs])
    places = _places(entries, {each for prefix in feed.prefixes for each in prefix.parameters()})
    strides = {place.parameter: place.parameter.stride() for place in places}
    before = {layer: _noted_by_torch(layer) for layer in entries.modules()}
    blocks = [] if feed.graphs else _blocks(module, places, job)
    units = [_Unit([block]) for block in blocks]
    root = _Unit([*entries, *units])
    mesh = init_device_mesh(job.machine.kind, (job.processes.share.world,))
    for unit in (*units, root):
        own = {each for each in unit.parameters() if each in strides}
        for parameter in own:
            parameter.data = parameter.data.contiguous()
        fully_shard(unit, mesh=mesh, ignored_params=set(unit.parameters()) - own)
        for parameter in own:
            parameter.data = parameter.data.new_empty(0)  # from here on this process has its share alone
    with ExitStack() as stack:
        for layer, unit in chain(zip(blocks, units, strict=True), ((entry, root) for entry in entries)):
            stack.enter_context(_computed_by(unit, layer))
        with torch.no_grad():
            root(_nothing)  # by which torch learns which of them is the root
        _of(root).reshard()
        job.display.say(_held(places, len(units), job))
        yield Shards(root, units, job)
    for parameter, place in {place.parameter: place for place in places}.items():
        with torch.no_grad():
            gathered = whole(place.now)
            parameter.data = gathered.new_empty_strided(gathered.shape, strides[parameter]).copy_(gathered)
    for place in places:
        setattr(place.layer, place.name, place.parameter)
    for layer, noted in before.items():
        for name in _noted_by_torch(layer).keys() - noted.keys():
            delattr(layer, name)
        for name, hooks in noted.items():
            if isinstance(hooks, dict):
                vars(layer)[name].clear()
                vars(layer)[name].update(hooks)


class _Unit(nn.Module):
    """Layers whose parameters are gathered together, and what is called in their place: so they stay as they are."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.calls = 0

    def forward(self, compute: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return compute(*args, **kwargs)


@dataclass(frozen=True, eq=False)
class _Through:
    """What a layer does in place of its own forward: that, once what it needs is gathered."""

    unit: _Unit
    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.unit(self.forward, *args, **kwargs)


@contextmanager
def _computed_by(unit: _Unit, layer: nn.Module) -> Iterator[None]:
    own = vars(layer).get("forward")
    vars(layer)["forward"] = _Through(unit, layer.forward)
    try:
        yield
    finally:
        if own is None:
            del vars(layer)["forward"]
        else:
            vars(layer)["forward"] = own


def _held(places: Sequence[_Place], blocks: int, job: Job) -> str:
    """What this process holds by now."""
    now = {place.parameter: place.now for place in places}
    own, every = (sum(each.nbytes for each in held) for held in (map(held_here, now.values()), now.values()))
    gathered = f"gathered in {blocks + 1} blocks" if blocks else "gathered as a whole"
    return f"{job.processes.share.world} processes divide the network: {size(own)} of {size(every)} here, {gathered}"


def _noted_by_torch(layer: nn.Module) -> dict[str, Any]:
    """What fully_shard notes in each layer: hooks, and marks."""
    noted = {name: value for name, value in vars(layer).items() if name.endswith("_hooks") or "fsdp" in name}
    return {name: copy.copy(value) for name, value in noted.items()}


def _nothing() -> None:
    """Computes nothing."""


def _of(unit: nn.Module) -> FSDPModule:
    assert isinstance(unit, FSDPModule), "fully_shard has made it one"
    return unit


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a layer holds a parameter that is spread over processes."""

    layer: nn.Module
    name: str
    parameter: nn.Parameter

    @property
    def now(self) -> Tensor:
        held: Tensor = getattr(self.layer, self.name)
        return held


def _places(entries: nn.Module, once: set[nn.Parameter]) -> list[_Place]:
    """Where parameters are held that can be divided, but for those that are read `once` and rest."""
    found = list[_Place]()
    for path, layer in entries.named_modules():
        for name, parameter in layer.named_parameters(recurse=False, remove_duplicate=False):
            if parameter.ndim and (parameter.requires_grad or parameter not in once):
                found.append(_Place(layer, name, parameter))
            elif parameter.requires_grad:
                named = f"{path}.{name}".partition(".")[2]
                raise FtError(
                    f"'{named}' trains and is a single number without a dimension, which torch's fully_shard cannot "
                    f"divide; leave out --shard, or freeze it: --freeze 'regex:{named}'"
                )
    return found


def _blocks(module: nn.Module, places: Sequence[_Place], job: Job) -> list[nn.Module]:
    """The modules of the network's stages that can be gathered by themselves: each is called once, as a whole, leaves
    what it is given as it was, and shares no parameter with another layer outside."""
    holders: dict[nn.Parameter, int] = {}
    for place in places:
        holders[place.parameter] = holders.get(place.parameter, 0) + 1
    own = [each for each in large_modules(module, job.stages) if not _shares(each, holders)]
    calls = _calls(module, own, job)
    return [each for each in own if calls[each] == 1]


def _shares(layer: nn.Module, holders: Mapping[nn.Parameter, int]) -> bool:
    """Whether another layer outside has a parameter of this one, too."""
    inside: dict[nn.Parameter, int] = {}
    for each in layer.modules():
        for _, parameter in each.named_parameters(recurse=False, remove_duplicate=False):
            inside[parameter] = inside.get(parameter, 0) + 1
    return any(count != holders.get(parameter, count) for parameter, count in inside.items())


def _calls(module: nn.Module, layers: Sequence[nn.Module], job: Job) -> dict[nn.Module, int]:
    """How often each of some layers is called for a batch; as good as twice, where it writes to what it is given."""
    calls = dict.fromkeys(layers, 0)
    versions: dict[nn.Module, list[int]] = {}

    def before(layer: nn.Module, args: tuple[Any, ...]) -> None:
        if layer not in calls:  # an adapter beside a layer may have that layer's hooks
            return
        versions[layer] = [each._version for each in args if isinstance(each, Tensor)]

    def after(layer: nn.Module, args: tuple[Any, ...], _: Any) -> None:
        if layer not in calls:
            return
        written = versions[layer] != [each._version for each in args if isinstance(each, Tensor)]
        calls[layer] += 2 if written else 1

    side = job.preprocessing.crop_size
    pixels = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    modes = {layer: layer.training for layer in module.modules()}
    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(before).remove)
            stack.callback(layer.register_forward_hook(after).remove)
        with state_kept(module), torch.no_grad(), job.machine.autocast():
            module.eval()(network_input(pixels, job.preprocessing, job.machine))
    for layer, mode in modes.items():
        layer.training = mode
    return calls
