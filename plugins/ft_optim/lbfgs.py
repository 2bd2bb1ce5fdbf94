"""`lbfgs`: the minimum of a smooth function, from few evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    import torch


class LBFGSSettings(Settings):
    penalties: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        tuple(10.0**-power for power in range(1, 7)), min_length=1, description="weight penalties to choose from"
    )
    history: int = Field(20, ge=1, description="steps from which the curvature is estimated")


def build(groups: list[dict[str, Any]], settings: LBFGSSettings) -> torch.optim.Optimizer:
    """Limited-memory BFGS with a line search for the strong Wolfe conditions (Nocedal & Wright 2006, chapters 3, 7).

    The one group says "max_iter" and "tolerance_grad".
    """
    import torch

    (group,) = groups
    return torch.optim.LBFGS(
        [{**group, "max_eval": group["max_iter"] * 5 // 4}],
        tolerance_change=0,
        history_size=settings.history,
        line_search_fn="strong_wolfe",
    )
