"""Which nodes of a network compute an image differently beside others: what `ft.prefix.probe` found, node by node."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from ft.prefix.digest import tensor_bytes
from ft.prefix.layout import layout_of
from ft.prefix.observe import Observed, TensorFact
from ft.prefix.probe import BESIDE, shuffles, take, trials
from ft.prefix.state import state_kept

COMPARED = 4
"""Rows of a batch that `batch_sensitive` hashes at every node; all of them would take long."""


def batch_sensitive(observed: Observed, images: torch.Tensor, batch_sizes: Sequence[int]) -> dict[str, str]:
    """Return the nodes that fail `probe_batch_invariance`, and how, for `ft.prefix.legality.mark`.

    Only the last rows of each batch are looked at, where vectorized loops end and differences arise.
    """
    looked_at = [(name, rows, range(len(rows))[-COMPARED:]) for name, rows in trials(len(images), batch_sizes)]
    wanted = {int(rows[place]) for _, rows, places in looked_at for place in places}
    expected = _row_digests(observed, images, wanted)
    sensitive: dict[str, str] = {}
    for name, rows, places in looked_at:
        for node, found in _row_digests(observed, take(images, rows), places).items():
            if any(found[place] != expected[node][int(rows[place])] for place in places):
                sensitive.setdefault(node, name)
    return sensitive


def shuffle_sensitive(observed: Observed, images: torch.Tensor, size: int) -> dict[str, str]:
    """Return the nodes that fail `probe_shuffled`, and how.

    It hashes every row, which takes long: for what has failed.
    """

    def digests(order: torch.Tensor) -> dict[tuple[str, int], bytes]:
        found: dict[tuple[str, int], bytes] = {}
        for rows in torch.split(order, size):
            taken = _row_digests(observed, take(images, rows), range(len(rows)))
            found |= {(node, int(rows[place])): each for node, all_ in taken.items() for place, each in all_.items()}
        return found

    expected = digests(torch.arange(len(images)))
    moved = [digests(order) for order in shuffles(len(images))]
    nodes = dict.fromkeys(node for (node, row), each in expected.items() if any(m[node, row] != each for m in moved))
    return dict.fromkeys(nodes, BESIDE)


def of_their_kind(observed: Observed, sensitive: Mapping[str, str]) -> dict[str, str]:
    """Return the nodes that do what the first of the `sensitive` ones do, to tensors of as many places; and how.

    Whether a layer of such a kind shows it depends on the values that reach it: some round alike either way.
    """
    first = [
        node
        for node in observed.graph.nodes
        if node.name in sensitive and not any(each.name in sensitive for each in node.all_input_nodes)
    ]
    kinds = {_kind(observed, node): sensitive[node.name] for node in reversed(first)}
    return {node.name: kinds[kind] for node in observed.graph.nodes if (kind := _kind(observed, node)) in kinds}


def _kind(observed: Observed, node: fx.Node) -> tuple[Any, ...]:
    """What a node does, and the dimensions of what it gives after images and channels."""
    module = observed.graph.module
    does = type(module.get_submodule(str(node.target))) if node.op == "call_module" else node.target
    value = observed.facts[node.name].value
    return does, value.shape[2:] if isinstance(value, TensorFact) else None


def _row_digests(observed: Observed, images: torch.Tensor, rows: Collection[int]) -> dict[str, dict[int, bytes]]:
    """For each node whose value has a row an image: digests of `rows`."""
    with torch.no_grad(), state_kept(observed.graph.module):
        run = _Digests(observed, rows)
        run.run(images)
    return run.digests


class _Digests(fx.Interpreter):
    def __init__(self, observed: Observed, rows: Collection[int]) -> None:
        super().__init__(observed.graph.module)
        self.observed, self.rows = observed, rows
        self.digests: dict[str, dict[int, bytes]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        facts = self.observed.facts[n.name]
        if isinstance(value, torch.Tensor) and layout_of(facts.value, facts.other) is not None:
            self.digests[n.name] = {row: _digest(value[row]) for row in self.rows}
        return value


def _digest(tensor: torch.Tensor) -> bytes:
    return hashlib.sha1(tensor_bytes(tensor), usedforsecurity=False).digest()
