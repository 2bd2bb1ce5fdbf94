"""Which learning rate to take: a run's first steps at rates that rise, of which nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from ft.config.schema import Config
from ft.data.loaders import explained_deaths
from ft.deciding import Prepared, decide
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.insight.learning_rates import RateCurve, read_curve
from ft.machine.display import Display
from ft.machine.memory import arrange_large_blocks, explained_shortage, give_back_freed_memory
from ft.machine.randomness import one_run_at_a_time, seed_all
from ft.machine.signals import StopRequest
from ft.model.layer_notes import noted_layers
from ft.opening import open_run
from ft.tracking.events import Event
from ft.training.feeds import open_feed
from ft.training.rising_rates import SMALLEST, train_at_rising_rates


@dataclass(frozen=True)
class FoundRates:
    """Losses by learning rate, and what follows from them.

    Rates of the `curve` are those of the key `of`: "lr", the backbone's, or where only the head trains "head_lr". All
    of the network's rates rose together, `ratio` being the head's over the backbone's. `keywords` are what is
    suggested, as `ft.finetune` takes it; none where the loss did not clearly fall. `planned` is the rate that the run
    would have taken, and `groups` says that some parameters have rates of their own in the config.
    """

    curve: RateCurve
    of: str
    ratio: float
    keywords: Mapping[str, float]
    planned: float
    groups: bool
    backbone: str
    data: str


@one_run_at_a_time()
def find_rates(config: Config, plugins: Plugins, display: Display) -> FoundRates:
    """Train the network that `config` describes at rising rates, and read the losses. No run is made and no weights are
    kept; features of what is frozen are, in the cache, where the run finds them.

    Raises FtError for what the user can mend, and where there is no one learning rate to be found.
    """
    arrange_large_blocks()
    if config.machine.shard:
        raise FtError("ft lr-find trains in one process, which holds all of the network; say --no-shard")
    if config.phases:
        raise FtError(
            "a run in phases has learning rates for each of them; say what one phase trains by --freeze, --train and "
            "--optimizer, without --recipe or phases, to find its rate"
        )
    seed_all(config.seed)  # as a run does
    opened = open_run(config, plugins, display, "pretrained", None)
    _check_steps(opened.optimizer.component.name, opened.config)
    ready = decide(opened, plugins, display, None)
    module, job = ready.model.module, ready.job(display, StopRequest(), _nobody)
    with (
        noted_layers(ready.layers),
        explained_deaths("Try again, or with --workers 0"),
        explained_shortage("Try a smaller --batch-size"),
        closing(open_feed(module, ready.plan, ready.prefix, ready.store, job)) as feed,
    ):
        give_back_freed_memory()
        factors, losses = train_at_rising_rates(module, ready.plan, feed, job)
    return _found(ready, factors, losses)


def _check_steps(name: str, config: Config) -> None:
    if config.training.solves:
        raise FtError(f"--optimizer {name} solves for the head at once, and has no learning rate to find")
    if config.training.fits_heads:
        raise FtError(f"--optimizer {name} tries many learning rates itself; ft run does, and keeps the best")


def _found(ready: Prepared, factors: list[float], losses: list[float]) -> FoundRates:
    training, plan, backbone = ready.config.training, ready.plan, ready.built.backbone
    in_head = {backbone.in_head(name) for group in plan.groups for name in group.parameters}
    assert training.lr is not None
    assert training.head_lr is not None
    of, planned = ("head_lr", training.head_lr) if in_head == {True} else ("lr", training.lr)
    ratio = training.head_lr / training.lr
    if not losses:
        raise FtError(
            f"the loss is no number at a learning rate of {SMALLEST:g} already; try --precision fp32, or other weights"
        )
    curve = read_curve([planned * factor for factor in factors], losses)
    keywords = {} if curve.suggested is None else {of: curve.suggested}
    if curve.suggested is not None and in_head == {True, False}:
        keywords["head_lr"] = float(f"{curve.suggested * ratio:.2g}")
    groups = any(group.lr is not None for group in ready.config.groups)
    return FoundRates(curve, of, ratio, keywords, planned, groups, plan.backbone, plan.data)


def _nobody(event: Event) -> None:
    """Who is told of what is no run."""
