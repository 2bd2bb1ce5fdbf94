"""Which groups of images go into which part: never torn, and every stratum shared out as evenly as groups allow."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from ft.text.names import portable

Stratum = Hashable
"""What is to be as frequent in each part: a class, a bin of a number; None of all where nothing is."""


def share_out(
    groups: Mapping[str, Counter[Stratum]],
    shares: Sequence[float],
    seed: int,
    keeper: int | None = None,
) -> dict[str, int]:
    """Return the part, by its place in `shares`, of each group; a group says how many images of each stratum it has.

    The shares are positive and add up to 1. One group after the other, those that weigh most first, goes where it
    leaves least of sum over strata c and parts i of (n_ic / n_c)^2 / share_i, which is least where every part has its
    share of every stratum: the idea of scikit-learn's StratifiedGroupKFold, for parts of any size. All images
    together count as one more stratum. Groups of about one weight come in an order drawn from the seed. The only group
    that has a stratum goes to the part `keeper`, if one is named, while that leaves groups for the others. No part
    stays empty where there are as many groups as parts.
    """
    counts = {name: _with_all(each) for name, each in groups.items()}
    totals: Counter[Stratum] = Counter()
    for each in counts.values():
        totals.update(each)
    order = sorted(counts, key=lambda name: (-_weight(counts[name], totals), drawn_place(seed, name)))
    balance = _Balance(totals, shares)
    kept = _only_holders(counts) if keeper is not None else set[str]()
    if keeper is not None and len(counts) - len(kept) >= len(shares) - 1:
        for name in kept:
            balance.add(name, counts[name], keeper)
    for name in order:
        if name not in balance.part:
            balance.add(name, counts[name], balance.best(counts[name]))
    for empty in range(len(shares)):
        if empty not in balance.part.values():
            spare = [name for name in order if name not in kept or len(kept) == len(counts)]
            sizes = Counter(balance.part.values())
            movable = [name for name in spare if sizes[balance.part[name]] > 1]
            if movable:  # the last ones weigh least
                name = movable[-1]
                balance.take(name, counts[name])
                balance.add(name, counts[name], empty)
    return balance.part


def deal(keys: Mapping[str, Stratum], folds: int, seed: int) -> dict[str, int]:
    """Return the fold, from 0, of each key: the keys of a stratum are dealt out one by one, in an order drawn from the
    seed, and the next stratum goes on where one ends, so that folds differ by one image at most."""
    strata: dict[Stratum, list[str]] = {}
    for key, stratum in keys.items():
        strata.setdefault(stratum, []).append(key)
    for each in strata.values():
        each.sort(key=lambda key: drawn_place(seed, key))
    dealt = (key for _, each in sorted((drawn_place(seed, each[0]), each) for each in strata.values()) for key in each)
    return {key: place % folds for place, key in enumerate(dealt)}


def drawn_place(seed: int, key: str) -> bytes:
    """Where an image stands among others, at random: by a hash, so that no other image matters."""
    text = f"{seed} {portable(key)}"
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()  # a name need not be UTF-8


_ALL = object()
"""The stratum of all images."""


class _Balance:
    """Which part each group is in, and how much of every stratum each part has by now."""

    def __init__(self, totals: Mapping[Stratum, int], shares: Sequence[float]) -> None:
        self._totals, self._shares = totals, shares
        self._has: list[Counter[Stratum]] = [Counter() for _ in shares]
        self.part: dict[str, int] = {}

    def best(self, counts: Counter[Stratum]) -> int:
        """The part that some images leave the sum least in; of equals the emptiest, then the first."""

        def cost(part: int) -> tuple[float, float, int]:
            has, share = self._has[part], self._shares[part]
            grown = ((2 * has[each] + n) * n / self._totals[each] ** 2 / share for each, n in counts.items())
            return math.fsum(grown), has[_ALL] / share, part  # fsum: the same in whatever order

        return min(range(len(self._shares)), key=cost)

    def add(self, name: str, counts: Counter[Stratum], part: int) -> None:
        self._has[part].update(counts)
        self.part[name] = part

    def take(self, name: str, counts: Counter[Stratum]) -> None:
        self._has[self.part.pop(name)].subtract(counts)


def _with_all(counts: Counter[Stratum]) -> Counter[Stratum]:
    return Counter({**counts, _ALL: counts.total()})


def _weight(counts: Counter[Stratum], totals: Mapping[Stratum, int]) -> int:
    """How much a group weighs, as a power of two: what is placed last has to make up for what came before, so large
    groups come first (Graham 1969, longest processing time first), and those that are about as large at random."""
    return math.frexp(math.fsum((n / totals[each]) ** 2 for each, n in counts.items()))[1]


def _only_holders(counts: Mapping[str, Counter[Stratum]]) -> set[str]:
    """The groups each of which is the only one that has some stratum."""
    holders: dict[Stratum, list[str]] = {}
    for name, each in counts.items():
        for stratum in each:
            holders.setdefault(stratum, []).append(name)
    return {names[0] for names in holders.values() if len(names) == 1}
