"""Which nodes may be computed once.

A node is frozen when everything it needs is, and it holds no trainable parameter (also through tied storage), draws no
random number, takes no statistic of a batch, lets no value decide what Python does, changes no stored tensor, reads
none that another node changes, and nobody has hooked into it or parametrized it. A node that breaks one of these while
all it needs is frozen is a barrier.

What a node needs is more than its arguments. In-place operations make the sequence matter, so, as in a processor's
pipeline, a node also needs whoever last wrote to memory it touches and, if it writes there, whoever read it before.
Then every set of nodes closed under "needs" can run first, by itself, and leave memory as the whole would have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from ft.prefix.graph import has_hooks
from ft.prefix.observe import Observed
from ft.prefix.records import Barrier, BarrierKind


@dataclass(frozen=True)
class Legality:
    """Names of the nodes that may be computed once, what keeps their neighbours from it, and what each node needs."""

    frozen: frozenset[str]
    barriers: tuple[Barrier, ...]
    needs: Mapping[str, frozenset[str]]


def mark(observed: Observed, frozen: Collection[str], sensitive: Mapping[str, str] | None = None) -> Legality:
    """Judge every node. `frozen` names parameters; all others are trainable.

    `sensitive` gives nodes that were measured to depend on the batch around an image, and how (`ft.prefix.sensitive`).
    """
    trainable = _trainable(observed, frozen)
    changed = {
        storage: facts.path for facts in observed.facts.values() for storage in facts.writes & observed.stored.keys()
    }
    needed = needs(observed)
    legal: set[str] = set()
    imageless: set[str] = set()
    # A parameter has no images to stop: whoever first brings it together with them is the barrier.
    sources: dict[str, tuple[BarrierKind, str]] = {}
    barriers: list[Barrier] = []
    for node in observed.graph.nodes:
        name, facts = node.name, observed.facts[node.name]
        if needed[name] <= imageless and node is not observed.graph.images:
            imageless.add(name)
        missing = needed[name] - legal
        if node.op == "output" or not missing <= sources.keys():
            continue
        if missing:
            objection = sources[min(missing)]
        else:
            found = _objection(node, observed, trainable, changed, sensitive or {})
            if found is None:
                legal.add(name)
                continue
            objection = found
        if name in imageless:
            sources[name] = objection
        else:
            barriers.append(Barrier(name, facts.path, *objection))
    return Legality(frozenset(legal), tuple(barriers), needed)


def needs(observed: Observed) -> dict[str, frozenset[str]]:
    """For each node, the nodes that must have run before it for its value to be right."""
    writer: dict[int, str] = {}
    readers: dict[int, set[str]] = {}
    result: dict[str, frozenset[str]] = {}
    for node in observed.graph.nodes:
        facts = observed.facts[node.name]
        inputs = {argument.name for argument in node.all_input_nodes}
        touched = facts.reads.union(*(observed.facts[name].makes for name in inputs))
        before = inputs | {writer[storage] for storage in touched if storage in writer}
        for storage in facts.writes:
            before |= readers.get(storage, set())
        for storage in touched | facts.makes:
            if storage in facts.writes:
                writer[storage], readers[storage] = node.name, set()
            readers.setdefault(storage, set()).add(node.name)
        result[node.name] = frozenset(before - {node.name})
    return result


def written_outside(observed: Observed, name: str, inside: Collection[str]) -> str | None:
    """The path of the first node outside `inside` that writes to the memory of the node `name`'s value."""
    makes = observed.facts[name].makes
    return next((f.path for node, f in observed.facts.items() if node not in inside and f.writes & makes), None)


def _trainable(observed: Observed, frozen: Collection[str]) -> dict[int, str]:
    """The storages that training changes, with the name of a trainable parameter in each."""
    parameters = {name for name, _ in observed.graph.original.named_parameters(remove_duplicate=False)}
    return {
        storage: name
        for storage, names in observed.stored.items()
        for name in names
        if name in parameters and name not in frozen
    }


def _objection(
    node: fx.Node,
    observed: Observed,
    trainable: Mapping[int, str],
    changed: Mapping[int, str],
    sensitive: Mapping[str, str],
) -> tuple[BarrierKind, str] | None:
    facts = observed.facts[node.name]
    for inner in _modules(node, observed):
        if has_hooks(inner):
            return "hook", "has a hook"
        if is_parametrized(inner):
            return "parametrization", "has a parametrization"
    for storage in (storage for storage in trainable if storage in facts.reads):
        return "trainable", _holds(facts.path, observed.stored[storage], trainable[storage])
    if facts.statistics:
        kept = any(
            isinstance(m, nn.modules.batchnorm._NormBase) and m.running_mean is not None
            for m in _modules(node, observed)
        )
        return "statistics", "updates its statistics" if kept else "normalises with the statistics of the batch"
    if facts.draws is not None:
        return "random", f"draws random numbers ({facts.draws})"
    if facts.decides:
        return "values", "decides by the values of a batch"
    if facts.remembers is not None:
        return "state", f"changes its own {facts.remembers}"
    for storage in (storage for storage in observed.stored if storage in facts.writes):
        return "state", f"changes {observed.stored[storage][0]}"
    for storage in (storage for storage in changed if storage in facts.reads):
        return "state", f"reads {observed.stored[storage][0]}, which {changed[storage]} changes"
    if node.name in sensitive:
        return "batch", sensitive[node.name]
    return None


def _modules(node: fx.Node, observed: Observed) -> list[nn.Module]:
    if node.op != "call_module":
        return []
    held: nn.Module = observed.graph.module.get_submodule(str(node.target))
    return list(held.modules())


def _holds(path: str, names: tuple[str, ...], trainable: str) -> str:
    own = [name for name in names if name == path or name.startswith(f"{path}.")]
    if own and trainable not in own:
        return f"shares the storage of {own[0]} with the trainable {trainable}"
    return f"uses the trainable {trainable}"
