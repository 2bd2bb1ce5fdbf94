"""How much can flow through a network from a source to a sink, and where what holds it back can be cut."""

from __future__ import annotations

from collections import deque


class Flow:
    """A network of `number` nodes, 0 and onwards, whose edges carry so much at most, in whole numbers."""

    def __init__(self, number: int) -> None:
        self._edges: list[list[int]] = [[] for _ in range(number)]
        # An edge and the way back along it are neighbours, e and e ^ 1; the room left on both changes by what flows.
        self._ends: list[int] = []
        self._rooms: list[int] = []

    def edge(self, start: int, end: int, room: int) -> None:
        """Add an edge that carries up to `room`."""
        for here, there, free in ((start, end, room), (end, start, 0)):
            self._edges[here].append(len(self._ends))
            self._ends.append(there)
            self._rooms.append(free)

    def before_the_last_cut(self, source: int, sink: int) -> list[bool]:
        """Which nodes lie before the cheapest cut between `source` and `sink`, of equally cheap ones the last.

        All that leaves the source is pushed towards the sink, always on from where it is farthest (Goldberg and Tarjan,
        "A new approach to the maximum-flow problem", Journal of the ACM 1988), until what has not arrived cannot. The
        nodes from which then nothing can be sent to the sink are those before the last of the cheapest cuts.
        """
        far = len(self._edges)
        heights = self._distances(sink)
        heights[source] = far
        excess, tried, there = [0] * far, [0] * far, [0] * (far + 1)
        for height in heights:
            there[height] += 1
        waiting: list[list[int]] = [[] for _ in range(far)]
        highest = 0

        def push(edge: int, sent: int) -> None:
            nonlocal highest
            end = self._ends[edge]
            self._rooms[edge] -= sent
            self._rooms[edge ^ 1] += sent
            if not excess[end] and end not in (source, sink) and heights[end] < far:
                waiting[heights[end]].append(end)
                highest = max(highest, heights[end])
            excess[end] += sent

        for edge in self._edges[source]:
            if self._rooms[edge]:
                push(edge, self._rooms[edge])
        while highest >= 0:
            if not waiting[highest]:
                highest -= 1
                continue
            node = waiting[highest].pop()
            while excess[node] and heights[node] < far:
                if tried[node] < len(self._edges[node]):
                    edge = self._edges[node][tried[node]]
                    sent = min(excess[node], self._rooms[edge])
                    if sent and heights[self._ends[edge]] == heights[node] - 1:
                        push(edge, sent)
                        excess[node] -= sent
                    else:
                        tried[node] += 1
                    continue
                before = heights[node]
                open_ends = (self._ends[edge] for edge in self._edges[node] if self._rooms[edge])
                heights[node], tried[node] = min(far, 1 + min(heights[end] for end in open_ends)), 0
                there[before] -= 1
                there[heights[node]] += 1
                if not there[before]:  # nothing that is higher flows down to the sink any more
                    heights = [far if height > before else height for height in heights]
                    there[before:far] = [0] * (far - before)
                highest = max(highest, min(heights[node], far - 1))
        return [distance == far for distance in self._distances(sink)]

    def _distances(self, sink: int) -> list[int]:
        """How many edges with room lead from each node to the sink; as many as there are nodes where none do."""
        none = len(self._edges)
        left = [none] * none
        left[sink], todo = 0, deque([sink])
        while todo:
            node = todo.popleft()
            for edge in self._edges[node]:
                before = self._ends[edge]
                if left[before] == none and self._rooms[edge ^ 1]:
                    left[before] = left[node] + 1
                    todo.append(before)
        return left
