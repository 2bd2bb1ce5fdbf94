"""The two halves of a network, as modules.

`prefix(images)` returns what crosses the cut as a tuple of dense tensors, batch first, of which row i belongs to image
i; `suffix` takes such a tuple and returns what the whole network would. Both share every parameter and buffer with the
original, so an optimizer built on it, and its state_dict, stay right. Nodes run in their original sequence, so random
numbers are drawn, and gradients summed, as in the whole: `suffix(prefix(x))` equals `module(x)` bit for bit.

Modes of layers are the original's to set: `train()` on a half would reach the layers it shares.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.fx.node import Argument, map_arg

from ft.prefix.graph import has_hooks
from ft.prefix.layout import as_constant, from_storage, is_constant, to_storage
from ft.prefix.legality import needs, written_outside
from ft.prefix.observe import Observed, TensorFact
from ft.prefix.records import Cut


@dataclass(frozen=True, eq=False)
class Halves:
    """`suffix` is for training; `suffix_eval` for `module.eval()`, whose graph differs (dropout, auxiliary heads).

    `suffix_eval` is None where the network in eval mode needs values that do not cross the cut.
    """

    prefix: fx.GraphModule
    suffix: fx.GraphModule
    suffix_eval: fx.GraphModule | None


def split(observed: Observed, cut: Cut, evaluating: Observed | None = None) -> Halves:
    """Split a network at `cut`. `evaluating` is the same module observed in eval mode, if validation is wanted."""
    inside = _inside(observed, cut)
    suffix = _after(observed, inside, {tensor.node: i for i, tensor in enumerate(cut.tensors)}, cut)
    assert suffix is not None, "a cut names all that crosses"
    suffix_eval = None
    if evaluating is not None:
        own, its = _keys(observed), _keys(evaluating)
        computed = {own[name] for name in inside}
        crossing = {own[tensor.node]: i for i, tensor in enumerate(cut.tensors)}
        suffix_eval = _after(
            evaluating,
            {name for name, key in its.items() if key in computed},
            {name: crossing[key] for name, key in its.items() if key in crossing},
            cut,
        )
    return Halves(prefix_of(observed, cut), suffix, suffix_eval)


def needed_no_more(module: nn.Module, halves: Halves) -> frozenset[str]:
    """Names of the parameters of `module` that only the prefix reads: once features are there, nobody does."""
    later = [half for half in (halves.suffix, halves.suffix_eval) if half is not None]
    before = set(map(id, halves.prefix.parameters())).difference(id(p) for half in later for p in half.parameters())
    return frozenset(name for name, parameter in module.named_parameters() if id(parameter) in before)


def prefix_of(observed: Observed, cut: Cut) -> fx.GraphModule:
    """Return what computes the cut's tensors from images."""
    graph = fx.Graph()
    taken: dict[str, Argument] = {observed.graph.images.name: graph.placeholder("images")}
    _copy(graph, _needed(observed, cut), taken)
    _leave(graph, cut, taken)
    return fx.GraphModule(observed.graph.module, graph, "Prefix")


def bridge(observed: Observed, shallow: Cut, deep: Cut) -> fx.GraphModule | None:
    """Return what leads from one cut to a deeper one, so that features kept for a shallower freeze serve again.

    It takes and returns tuples as `prefix` does. None when `deep` does not contain all that `shallow` computes, or
    needs a value that `shallow` did not keep.
    """
    inside = _inside(observed, shallow)
    if not inside <= _inside(observed, deep):
        return None
    graph = fx.Graph()
    taken = _enter(observed, graph, inside, {tensor.node: i for i, tensor in enumerate(shallow.tensors)}, shallow)
    nodes = [node for node in _needed(observed, deep) if node.name not in inside]
    read = {argument.name for node in nodes for argument in node.all_input_nodes}
    if not (read | {tensor.node for tensor in deep.tensors}) & inside <= taken.keys():
        return None
    _copy(graph, nodes, taken)
    _leave(graph, deep, taken)
    return fx.GraphModule(observed.graph.module, graph, "Bridge")


def _inside(observed: Observed, cut: Cut) -> set[str]:
    return {observed.graph.images.name, *cut.prefix_nodes}


def _needed(observed: Observed, cut: Cut) -> list[fx.Node]:
    """What must run for the cut's tensors to be right, those who write to them included, in sequence."""
    needed = needs(observed)
    makes = {storage for tensor in cut.tensors for storage in observed.facts[tensor.node].makes}
    todo = [tensor.node for tensor in cut.tensors]
    todo += [name for name in _inside(observed, cut) if observed.facts[name].writes & makes]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += needed[name]
    return [node for node in observed.graph.nodes if node.name in found and node is not observed.graph.images]


def _after(
    observed: Observed, inside: Collection[str], positions: Mapping[str, int], cut: Cut
) -> fx.GraphModule | None:
    """Everything outside `inside`; `positions` says which of the cut's tensors a node inside has for value."""
    graph = fx.Graph()
    taken = _enter(observed, graph, inside, positions, cut)
    rest = _alive(observed, inside)
    read = {argument.name for node in rest for argument in node.all_input_nodes}
    if not read & set(inside) <= taken.keys():
        return None
    _copy(graph, rest, taken)
    return fx.GraphModule(observed.graph.module, graph, "Suffix")


def _enter(
    observed: Observed, graph: fx.Graph, inside: Collection[str], positions: Mapping[str, int], cut: Cut
) -> dict[str, Argument]:
    """Take the kept tensors apart. Returns the values of nodes inside, constants among them, by name."""
    kept = graph.placeholder("cut")
    number = graph.call_method("size", (graph.call_function(operator.getitem, (kept, 0)), 0))
    taken: dict[str, Argument] = {}
    for name in inside:
        facts = observed.facts[name]
        if is_constant(facts.value, facts.other):
            taken[name] = as_constant(facts.value, facts.other, number)
    for name, position in positions.items():
        tensor = cut.tensors[position]
        value = graph.call_function(operator.getitem, (kept, position))
        value = graph.call_function(from_storage, (value, tensor.order, tensor.stride))
        if written_outside(observed, name, inside):
            value = graph.call_function(torch.clone, (value,))
        taken[name] = value
    return taken


def _leave(graph: fx.Graph, cut: Cut, taken: Mapping[str, Argument]) -> None:
    graph.output(tuple(graph.call_function(to_storage, (taken[tensor.node], tensor.order)) for tensor in cut.tensors))


def _copy(graph: fx.Graph, nodes: Iterable[fx.Node], taken: dict[str, Argument]) -> None:
    for node in nodes:
        args = map_arg(node.args, lambda argument: taken[argument.name])
        kwargs = map_arg(node.kwargs, lambda argument: taken[argument.name])
        taken[node.name] = copied = graph.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        if "did" in node.meta:
            copied.meta["did"] = node.meta["did"]


def _alive(observed: Observed, inside: Collection[str]) -> list[fx.Node]:
    """The nodes outside that do something, be it to the output, to stored tensors or to a generator."""
    alive: list[fx.Node] = []
    read: set[str] = set()
    for node in reversed(observed.graph.nodes):
        if node.name in inside or node.op == "placeholder":
            continue
        if node.op == "output" or node.name in read or _acts(observed, node):
            alive.insert(0, node)
            read |= {argument.name for argument in node.all_input_nodes}
    return alive


def _acts(observed: Observed, node: fx.Node) -> bool:
    facts = observed.facts[node.name]
    if node.op == "call_module":
        hooked = any(has_hooks(inner) for inner in observed.graph.module.get_submodule(str(node.target)).modules())
    else:
        hooked = False
    return bool(facts.writes or facts.draws or facts.statistics or hooked)


def _keys(observed: Observed) -> dict[str, str]:
    """For each node a digest of the computation it ends; equal in two graphs that compute the same.

    Layers that hand on what they are given, as dropout in eval mode or with p = 0, do not count. Whoever wrote to the
    memory that a node reads does.
    """
    keys: dict[str, str] = {}
    writers: dict[int, str] = {}
    for node in observed.graph.nodes:
        handed_on = [argument for argument in node.all_input_nodes if _hands_on(observed, argument, node)]
        if handed_on:
            keys[node.name] = keys[handed_on[0].name]
            continue
        target = node.target
        if callable(target):
            target = f"{target.__module__}.{getattr(target, '__qualname__', target)}"
        name = "images" if node is observed.graph.images else f"{target} {node.meta.get('did', '')}"
        arguments = map_arg((node.args, node.kwargs), lambda argument: keys[argument.name])
        facts = observed.facts[node.name]
        read = facts.reads.union(*(observed.facts[argument.name].makes for argument in node.all_input_nodes))
        written = sorted({writers[storage] for storage in read if storage in writers})
        keys[node.name] = hashlib.sha256(repr((node.op, name, arguments, written)).encode()).hexdigest()
        writers |= dict.fromkeys(facts.writes, keys[node.name])
    return keys


def _hands_on(observed: Observed, argument: fx.Node, node: fx.Node) -> bool:
    given, facts = observed.facts[argument.name], observed.facts[node.name]
    same = isinstance(facts.value, TensorFact) and (given.value, given.makes) == (facts.value, facts.makes)
    return same and not facts.writes
