"""How sure a figure is that was measured on so many images: 95 % intervals, and whether two runs differ by more than
chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import torch
from torch import Tensor

from ft.task.sure import Interval as Interval

LEVEL = 0.95
"""How often an interval made in this way holds the figure of all images that might have been drawn."""
MOST, FEWEST = 1000, 100
"""Resamples of a bootstrap: as many as there is time for."""
FEW = 8
"""Images of which resamples are alike so often that each is measured once."""
WORK = 5e7
"""Outputs that the resamples of a bootstrap look at together, which takes a few seconds however many images there
are."""


def wilson(hits: int, images: int, level: float = LEVEL) -> Interval:
    """The interval of a share of images, `hits` of so many (Wilson 1927, "Probable inference, the law of succession,
    and statistical inference"). Unlike the figure ± its standard error it stays within 0 and 1, and is right for few
    images and for shares near either end. Of no image it is 0 to 1."""
    if not images:
        return Interval(0.0, 1.0)
    z, share = _deviations(level), hits / images
    weight = 1 + z**2 / images
    middle = (share + z**2 / (2 * images)) / weight
    reach = z / weight * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    # At the ends the formula is exactly 0 or 1, which rounding would miss.
    return Interval(middle - reach if hits else 0.0, middle + reach if hits < images else 1.0)


def bootstrap(
    figure: Callable[[Tensor], float], images: int, outputs: int = 1, seed: int = 0, level: float = LEVEL
) -> Interval | None:
    """The interval of any figure, by the percentiles of the figures of resamples (Efron & Tibshirani 1993, "An
    introduction to the bootstrap", section 13.3). None where there are fewer than two images, no number,
    or the same figure again and again, as where all are answered rightly: resamples then know nothing of others.

    `figure` is given places of images [n] in int64, some of them several times, and says what the figure is on these; a
    difference of two runs on the same images is a figure, too. `outputs` is how many numbers it looks at for each
    image. The same seed gives the same interval.

    Work is bounded: there are fewer resamples the more there is to look at, and where even `FEWEST` would take too
    long, each is drawn of fewer images than there are, and what it deviates by is scaled by the root of that ratio, as
    deviations fall with the root of the number of images (Bickel, Götze & van Zwet 1997, "Resampling fewer than n
    observations"). Of up to `FEW` images many resamples are the same ones in another order: `figure` is asked once.
    """
    if images < 2:
        return None
    each = min(images, max(2, int(WORK / FEWEST / outputs)))
    resamples = max(FEWEST, min(MOST, int(WORK / (each * outputs))))
    generator = torch.Generator().manual_seed(seed)
    whole = figure(torch.arange(images))
    measured: dict[tuple[int, ...], float] = {}

    def again() -> float:
        places = torch.randint(images, (each,), generator=generator)
        if images > FEW:
            return figure(places)
        drawn = tuple(sorted(places.tolist()))
        if drawn not in measured:
            measured[drawn] = figure(torch.tensor(drawn))
        return measured[drawn]

    found = torch.tensor([again() for _ in range(resamples)], dtype=torch.float64)
    found = found[found.isfinite()]
    if not math.isfinite(whole) or not len(found):
        return None
    tail = (1 - level) / 2
    ends = torch.quantile(found, torch.tensor([tail, 1 - tail], dtype=torch.float64))
    if ends[0] == ends[1]:
        return None
    low, high = (whole + math.sqrt(each / images) * (ends - whole)).tolist()
    return Interval(low, high)


def mcnemar(only_first: int, only_second: int, exact: bool = False) -> float:
    """How likely two runs that are equally good would differ as much on the same images or more: a p-value, from the
    number of images that only the first answers rightly, and only the second (McNemar 1947, "Note on the sampling error
    of the difference between correlated proportions").

    It is the mid-p value, which for few images is nearer to what it claims than the `exact` one, which errs on the safe
    side (Fagerland, Lydersen & Laake 2013, "The McNemar test for binary matched-pairs data: mid-p and asymptotic are
    better than exact conditional").
    """
    differing, fewer = only_first + only_second, min(only_first, only_second)
    up_to = math.fsum(_even_odds(k, differing) for k in range(fewer + 1))
    return min(1.0, 2 * up_to - (0.0 if exact else _even_odds(fewer, differing)))


def _even_odds(hits: int, images: int) -> float:
    """How likely a fair coin shows heads so often."""
    ways = math.lgamma(images + 1) - math.lgamma(hits + 1) - math.lgamma(images - hits + 1)
    return math.exp(ways - images * math.log(2))


def _deviations(level: float) -> float:
    """Within how many standard deviations of the middle a normal value lies so often."""
    return NormalDist().inv_cdf((1 + level) / 2)
