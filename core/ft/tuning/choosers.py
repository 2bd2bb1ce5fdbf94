"""Who chooses the values of trials, and who ends trials early: Optuna's samplers and pruners, by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from ft.errors import FtError, did_you_mean

GRID = "grid"
SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    GRID: "",
}
"""By their names in ft, what Optuna calls them; a grid is ft's own, as its order is known from the start."""
NEEDS = {"qmc": "scipy", "gp": "scipy", "cmaes": "cmaes"}
"""Which library a sampler takes that Optuna does without; some are asked for only once a sampler chooses."""
PRUNERS = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "none": "NopPruner",
}
_USUAL: Mapping[str, dict[str, Any]] = {"percentile": {"percentile": 25.0}}


def sampler_of(asked: Mapping[str, Any], seed: int) -> BaseSampler:
    """The sampler that is named, with its settings, for one trial. Raises FtError for what it does not take."""
    if asked["use"] == GRID:
        if settings := sorted(asked.keys() - {"use"}):
            raise FtError(f"--sampler grid takes no settings, and {settings[0]} is one")
        return optuna.samplers.RandomSampler(seed=seed)
    made: BaseSampler = _made("sampler", SAMPLERS, optuna.samplers, {"seed": seed, **asked})
    return made


def choosing(values: dict[str, Any], sampler: BaseSampler) -> BaseSampler:
    """A sampler that chooses these values, as those of a grid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental
        return optuna.samplers.PartialFixedSampler(values, sampler)


def pruner_of(asked: Mapping[str, Any]) -> BasePruner:
    """The pruner that is named, with its settings. Raises FtError for what it does not take."""
    made: BasePruner = _made("pruner", PRUNERS, optuna.pruners, {**_USUAL.get(asked["use"], {}), **asked})
    return made


def _made(kind: str, names: Mapping[str, str], module: Any, asked: Mapping[str, Any]) -> Any:
    name, settings = asked["use"], {key: value for key, value in asked.items() if key != "use"}
    if name not in names:
        raise FtError(f"--{kind} {name}: there is no such {kind}.{did_you_mean(name, names)} There is: "
                      f"{', '.join(names)}")  # fmt: skip
    lacks = NEEDS.get(name) if kind == "sampler" else None
    if lacks is not None and find_spec(lacks) is None:
        raise FtError(f"--{kind} {name} takes {lacks}, which is not installed: pip install {lacks}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that something of Optuna is experimental
            return getattr(module, names[name])(**settings)
    except (TypeError, ValueError) as error:
        raise FtError(f"--{kind} {name} does not take its settings as they are: {error}") from None


def seed_of(seed: int, number: int) -> int:
    """What the values of a trial are drawn from: it follows from its number, however many workers there are."""
    return (seed * 1_000_003 + number * 7919 + 1) % 2**31
