"""`sweep`: many learning rates, weight decays and first values for a linear head, all at once."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ft import Candidate, Settings

if TYPE_CHECKING:
    import torch

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]
_RATES = {
    "adamw": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "sgd": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
}
_DECAYS = {"adamw": (0.0, 1e-2, 1e-1, 1.0), "sgd": (0.0, 1e-4, 1e-3, 1e-2)}


class SweepSettings(Settings):
    rates: tuple[Rate, ...] = Field(
        (),
        description="peak learning rates to choose from; none given: seven, 1e-4 to 0.1 for adamw, 1e-3 to 1 for sgd",
    )
    decays: tuple[Decay, ...] = Field(
        (), description="weight decays to choose from; none given: four, 0 to 1 for adamw, 0 to 0.01 for sgd"
    )
    seeds: int = Field(1, ge=1, description="how many first values of the head to choose from")
    rule: Literal["adamw", "sgd"] = Field("adamw", description="how each head steps, as the optimizer of that name")


def candidates(settings: SweepSettings) -> list[Candidate]:
    """Each rate with each decay and each of the first values."""
    rates = sorted(set(settings.rates or _RATES[settings.rule]))
    decays = sorted(set(settings.decays or _DECAYS[settings.rule]))
    return [Candidate(*each) for each in product(rates, decays, range(settings.seeds))]


def build(groups: list[dict[str, Any]], settings: SweepSettings) -> torch.optim.Optimizer:
    """Steps of AdamW (Loshchilov & Hutter 2019, algorithm 2), or of SGD with Nesterov momentum (Sutskever et al. 2013),
    as `adamw` and `sgd` take them, for each row of the parameters with a rate and a decay of its own."""
    from ft_optim.side_by_side import AdamWSideBySide, SGDSideBySide

    return AdamWSideBySide(groups) if settings.rule == "adamw" else SGDSideBySide(groups)


def state(settings: SweepSettings) -> float:
    """A mean, and for AdamW a mean square."""
    return 2.0 if settings.rule == "adamw" else 1.0
