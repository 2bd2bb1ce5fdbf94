"""The cheapest cut, exactly: a minimum cut of a flow network.

Choosing which nodes to compute once, when a choice drags in all it needs and pays for what crosses, is the
project-selection problem (Picard, "Maximal closure of a graph", Management Science 1976), which a minimum s-t cut
solves; torch.compile's partitioner chooses what to recompute in the same way. The source stands for "computed once",
the sink for "computed every epoch". An edge is paid for when it leads from the first side to the second:

- source → node, at the price of computing the node in every epoch;
- node → what it needs, at no finite price: a node computed once needs all before it computed once;
- node → its value → each reader, at the price of keeping the value, paid once however many read it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ft.prefix.flow import Flow

ATTOSECONDS = 10**18  # flows in whole numbers are exact


@dataclass(frozen=True)
class Item:
    """A node that may be computed once.

    `work` is what computing it every epoch costs, `keep` what keeping its value does (infinite if it cannot be kept);
    `needs` and `readers` are names, and a reader that is no item is computed every epoch.
    """

    name: str
    work: float
    keep: float
    needs: frozenset[str]
    readers: frozenset[str]
    given: bool = False


def cheapest(items: Sequence[Item]) -> frozenset[str]:
    """Return the names of the items to compute once; of equally cheap choices the largest.

    `given` items (the images) are always among them. Needs outside `items` are taken as fulfilled.
    """
    place = {item.name: number for number, item in enumerate(items)}
    source, sink = 2 * len(items), 2 * len(items) + 1
    flow = Flow(2 * len(items) + 2)
    priced = [price for item in items for price in (item.work, item.keep) if not math.isinf(price)]
    no_limit = sum(round(price * ATTOSECONDS) for price in priced) + 1  # more than all that has one can hold back

    def edge(start: int, end: int, price: float = math.inf) -> None:
        flow.edge(start, end, no_limit if math.isinf(price) else round(price * ATTOSECONDS))

    for item in items:
        node = place[item.name]
        value = len(items) + node
        edge(source, node, math.inf if item.given else item.work)
        for needed in item.needs & place.keys():
            edge(node, place[needed])
        if item.readers:
            edge(node, value, item.keep)
        for reader in item.readers:
            edge(value, place.get(reader, sink))
    once = flow.before_the_last_cut(source, sink)
    return frozenset(name for name, number in place.items() if once[number])
