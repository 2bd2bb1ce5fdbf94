"""What runs came to: totals, ratios taken within a round, ceilings computed from the plan, and the table of it all."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from measuring import Measured

PLAIN = "plain"
LEGEND = """\
times: as fast as the plain loop, median over rounds. accuracy: the best epoch's, median (lowest to highest).
peak: MB of all processes of a run together. training: the same while it trains, above `import torch` ({0} MB).
decoded: images that Pillow decoded, where it was counted."""


@dataclass(frozen=True)
class Result:
    """One run. `total` is what `asked` epochs take from a cold start, computed where fewer epochs ran; `epoch` is a
    steady one, validation included (the median without the first). Memory is in MB: of the whole run, and while it
    trained. `decoded` counts images that Pillow decoded, where they were counted."""

    name: str
    round: int
    seed: int
    asked: int
    total: float = float("nan")
    epoch: float = float("nan")
    accuracy: float = float("nan")
    epochs: tuple[float, ...] = ()
    peak_mb: float | None = None
    training_mb: float | None = None
    decoded: int | None = None
    error: str = ""

    @property
    def computed(self) -> bool:
        return len(self.epochs) < self.asked

    def line(self) -> str:
        if self.error:
            return f"{self.name}: FAILED: {self.error}"
        how = f" (computed from {len(self.epochs)} epochs)" if self.computed else ""
        peak = f", peak {self.peak_mb:.0f} MB" if self.peak_mb else ""
        return f"{self.name}: {self.total:.1f} s{how}, epoch {self.epoch:.2f} s, accuracy {self.accuracy:.1%}{peak}"


def result(
    key: tuple[str, int, int],
    asked: int,
    measured: Measured,
    epochs: Sequence[float],
    accuracy: float,
    ended: float,
    decoded: int | None = None,
) -> Result:
    """`ended` is when the last epoch did. What is not epochs (start, features, end) counts once."""
    steady = statistics.median(epochs[1:] or epochs)
    total = measured.seconds + (asked - len(epochs)) * steady
    training = measured.peak_mb(ended - sum(epochs), ended)
    return Result(*key, asked, total, steady, accuracy, tuple(epochs), measured.peak_mb(), training, decoded)


def ratio(results: Sequence[Result], slow: str, fast: str, of: Callable[[Result], float]) -> float:
    """The median over rounds of how many times as long `slow` takes; nan where no round has both."""
    times = {(each.name, each.round, each.seed): of(each) for each in results}
    keys = [(r.round, r.seed) for r in results if r.name == fast and (slow, r.round, r.seed) in times]
    return statistics.median([times[slow, *key] / times[fast, *key] for key in keys]) if keys else float("nan")


def ceilings(cache: Mapping[str, Any], images: Mapping[str, int], epochs: int) -> tuple[float, float, float]:
    """How many times as fast a training step, an epoch with its validation, and a run can be at equal precision and
    layout, counting FLOPs alone: a backward pass costs two forward ones, and the prefix has none."""
    prefix, suffix = cache["prefix_flops"], cache["suffix_flops"]
    if not prefix:
        return 1.0, 1.0, 1.0
    train, val = images["train"], images["val"]
    once, kept = prefix * (train + val), suffix * (3 * train + val)
    return (prefix + 3 * suffix) / (3 * suffix), (once + kept) / kept, epochs * (once + kept) / (once + epochs * kept)


def show(results: Sequence[Result], limits: tuple[float, float, float], torch_mb: float | None) -> None:
    """Print the table and what follows from it. `torch_mb` is what a process takes that has imported torch."""
    good = [each for each in results if not each.error]
    names = list(dict.fromkeys(each.name for each in good))
    print(f"\n{'':22}{'total':>11}{'times':>8}{'epoch':>10}{'times':>8}  {'accuracy':<34}", end="")
    print(f"{'peak':>8}{'training':>10}{'decoded':>9}")
    for name in names:
        rows = [each for each in good if each.name == name]
        total, epoch = statistics.median([r.total for r in rows]), statistics.median([r.epoch for r in rows])
        mark = "*" if any(row.computed for row in rows) else " "
        print(
            f"{name:22}{total:9.1f}s{mark}{ratio(good, PLAIN, name, _total):8.1f}"
            f"{epoch:9.2f}s{ratio(good, PLAIN, name, _epoch):8.1f}  {_accuracy(rows):<34}"
            f"{_largest([r.peak_mb for r in rows]):>8}{_largest([r.training_mb for r in rows], torch_mb or 0):>10}"
            f"{_largest([r.decoded for r in rows]):>9}"
        )
    if any(each.computed for each in good):
        print("* computed from fewer epochs: what is not epochs once, and a steady epoch for each asked for")
    print(LEGEND.format(f"{torch_mb:.0f}" if torch_mb else "?"))
    _conclude(good, names, limits)


def _conclude(good: Sequence[Result], names: Sequence[str], limits: tuple[float, float, float]) -> None:
    step, epoch, run = limits
    if epoch > 1:
        print(f"ceilings at equal precision: step {step:,.2f}, epoch and validation {epoch:,.2f}, run {run:.2f} times")
    else:
        print("nothing of the network is computed once, so there is no ceiling to compute")
    for name in (PLAIN, "plain aligned", "ft fp32") if epoch > 1 else ():
        if {name, "ft exact"} <= set(names):
            runs, epochs = ratio(good, name, "ft exact", _total), ratio(good, name, "ft exact", _epoch)
            print(f"ft exact beside {name}: run {runs:.2f} times, {runs / run:.0%} of its ceiling", end="")
            print(f"; epoch {epochs:.2f} times, {epochs / epoch:.0%} of its ceiling" if epoch < 100 else "")
    if "ft fast" in names:
        beside = [f"{name} {ratio(good, name, 'ft fast', _total):.1f}" for name in names if not name.startswith("ft ")]
        print(f"ft fast, run, times as fast as: {', '.join(beside)}")


def _total(result: Result) -> float:
    return result.total


def _epoch(result: Result) -> float:
    return result.epoch


def _accuracy(rows: Sequence[Result]) -> str:
    values = [row.accuracy for row in rows]
    spread = f" ({min(values):.1%} to {max(values):.1%})" if len(values) > 1 else ""
    short = f" in {len(rows[0].epochs)} epoch(s)" if rows[0].computed else ""
    return f"{statistics.median(values):.1%}{spread}{short}"


def _largest(values: Sequence[float | None], above: float = 0) -> str:
    there = [value for value in values if value is not None]
    return f"{max(there) - above:.0f}" if there else "-"
