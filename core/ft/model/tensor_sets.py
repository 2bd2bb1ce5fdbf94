"""Finds the named tensors in what a training checkpoint holds, where there may be several sets of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ft.errors import FtError, did_you_mean
from ft.text.counting import number_of

_USUAL = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
_AVERAGED = re.compile(r"(?:^|[_.-])(?:ema|swa|avg|average|averaged|shadow)(?:$|[_.-])", re.IGNORECASE)
_SHOWN = 5


def choose_tensors(content: Mapping[Any, Any], key: str | None, called: str) -> tuple[dict[str, Tensor], list[str]]:
    """Return one set of named tensors of a checkpoint, and what a report should say about the choice.

    `key` says which, as "model_ema" or "model_ema.module"; without it, the network that trained is taken, not an
    average of it (EMA, SWA), by the usual names. `called` is what messages call the file. Raises FtError when there is
    no such set, none at all, or several and nothing tells them apart.
    """
    sets = dict(_sets(content))
    if not sets:
        raise FtError(f"{called} holds no named tensors; at its top level are: {some(content) or 'nothing'}")
    name = _most_likely(sets, called) if key is None else _named(key, sets, called)
    tensors = named_tensors(sets[name])
    notes = [f"the tensors were taken from '{name}' in {called}"] if name else []
    if key is None and (others := [each for each in _alike(sets) if each != name]):
        notes.append(
            f"{called} holds {len(others) + 1} sets of tensors, {_listed(sets, [name, *others])}; "
            f"--set weights.key={others[0]} takes {'the other' if len(others) == 1 else 'another'}"
        )
    if left := [str(each) for each in sets[name] if each not in tensors and not isinstance(sets[name][each], Mapping)]:
        notes.append(f"{len(left)} values in {called} that are no tensors were left out: {some(left)}")
    return tensors, notes


def named_tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {name: each.detach() for name, each in content.items() if isinstance(name, str) and isinstance(each, Tensor)}


def some(names: Any, joint: str = ", ") -> str:
    """The first few of `names`, and that there are more."""
    shown = [str(name) for name in names]
    return joint.join(shown[:_SHOWN]) + (f"{joint}..." if len(shown) > _SHOWN else "")


def _sets(content: Mapping[Any, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every mapping that holds named tensors, down to the third level, by its path; "" is the file itself."""
    if named_tensors(content):
        yield ".".join(above), content
    for name, below in content.items() if len(above) < 2 else ():
        if isinstance(name, str) and isinstance(below, Mapping) and "optim" not in name.lower():
            yield from _sets(below, (*above, name))


def _alike(sets: Mapping[str, Mapping[Any, Any]]) -> list[str]:
    """The sets that may be a network: those with at least half as many tensors as the largest."""
    counts = {name: len(named_tensors(each)) for name, each in sets.items()}
    return [name for name, count in counts.items() if 2 * count >= max(counts.values())]


def _most_likely(sets: Mapping[str, Mapping[Any, Any]], called: str) -> str:
    usual = [name for name in sets if name.partition(".")[0] in _USUAL and not _AVERAGED.search(name)]
    if usual:
        return min(usual, key=lambda name: (name.count("."), _USUAL.index(name.partition(".")[0])))
    alike = [name for name in _alike(sets) if not _AVERAGED.search(name)] or _alike(sets)
    if "" in alike or len(alike) == 1:
        return "" if "" in alike else alike[0]
    raise FtError(
        f"{called} holds {len(alike)} sets of tensors, {_listed(sets, alike)}; say which, as in "
        f"--set weights.key={alike[0]}"
    )


def _named(key: str, sets: Mapping[str, Mapping[Any, Any]], called: str) -> str:
    found = [name for name in sets if name and (name == key or name.startswith(f"{key}."))]
    if not found:
        names = [name for name in sets if name]
        what = _listed(sets, names) if names else "its tensors lie at the top level; leave weights.key out"
        raise FtError(f"{called} has no tensors at weights.key '{key}'.{did_you_mean(key, names)} It has: {what}")
    return min(found, key=lambda name: name.count("."))


def _listed(sets: Mapping[str, Mapping[Any, Any]], names: list[str]) -> str:
    return some(
        [f"{name or 'the file itself'} ({number_of(len(named_tensors(sets[name])), 'tensor')})" for name in names]
    )
