"""The cheapest legal cut, against trying all of them."""

from __future__ import annotations

import itertools
import math

from hypothesis import given, settings, strategies as st

from ft.prefix.choose import Item, cheapest


@st.composite
def graphs(draw: st.DrawFn) -> list[Item]:
    count = draw(st.integers(1, 7))
    names = [f"n{i}" for i in range(count)]
    needs = [draw(st.sets(st.sampled_from(names[:i]))) if i else set() for i in range(count)]
    items = []
    for i, name in enumerate(names):
        readers = {names[j] for j in range(count) if name in needs[j]} | (draw(st.sets(st.just("outside"))))
        keep = draw(st.one_of(st.integers(0, 20).map(float), st.just(math.inf))) if i else 3.0
        items.append(
            Item(name, float(draw(st.integers(0, 20))), keep, frozenset(needs[i]), frozenset(readers), given=i == 0)
        )
    return items


def price(items: list[Item], inside: frozenset[str]) -> float:
    kept = sum(item.keep for item in items if item.name in inside and not item.readers <= inside)
    return kept + sum(item.work for item in items if item.name not in inside and not item.given)


def legal(items: list[Item]) -> list[frozenset[str]]:
    names = [item.name for item in items]
    choices = (frozenset(c) for size in range(len(names) + 1) for c in itertools.combinations(names, size))
    return [c for c in choices if all(i.needs <= c if i.name in c else not i.given for i in items)]


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_no_legal_cut_is_cheaper_and_none_as_cheap_is_larger(items: list[Item]) -> None:
    inside = cheapest(items)
    choices = legal(items)
    least = min(price(items, choice) for choice in choices)
    assert inside in choices
    assert price(items, inside) == least
    assert len(inside) == max(len(choice) for choice in choices if price(items, choice) == least)
