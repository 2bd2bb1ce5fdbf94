"""The cheapest cut of a flow network, against trying all of them."""

from __future__ import annotations

import itertools

from hypothesis import given, settings, strategies as st

from ft.prefix.flow import Flow

SIZE = 6
PAIRS = [(start, end) for start, end in itertools.product(range(SIZE), repeat=2) if start != end]


@given(st.dictionaries(st.sampled_from(PAIRS), st.integers(0, 9), max_size=20))
@settings(max_examples=150, deadline=None)
def test_no_cut_is_cheaper_and_none_as_cheap_leaves_less_behind_it(rooms: dict[tuple[int, int], int]) -> None:
    source, sink, between = 0, SIZE - 1, range(1, SIZE - 1)
    flow = Flow(SIZE)
    for (start, end), room in rooms.items():
        flow.edge(start, end, room)
    before = flow.before_the_last_cut(source, sink)
    found = {node for node in range(SIZE) if before[node]}

    def price(first: set[int]) -> int:
        return sum(room for (start, end), room in rooms.items() if start in first and end not in first)

    choices = [{source, *some} for size in range(SIZE - 1) for some in itertools.combinations(between, size)]
    least = min(map(price, choices))
    cheapest = [choice for choice in choices if price(choice) == least]
    assert price(found) == least
    assert found == set.union(*cheapest)
