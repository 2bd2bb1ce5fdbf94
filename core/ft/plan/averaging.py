"""What a plan says of averages of weights, and which it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ft.config.training import TrainingConfig
from ft.errors import FtError

if TYPE_CHECKING:
    from ft.plan.records import Plan


def check_averaging(training: TrainingConfig, optimizer: str) -> None:
    """Raise FtError for an average that cannot be, with the flag that asks for it."""
    if training.fits_heads and training.ema is not None:
        steps = "takes none" if training.solves else "takes them with many heads at once"
        raise FtError(
            f"--ema averages weights over steps, and --optimizer {optimizer} {steps}; leave it out, or say "
            "`ema: null` in a phase of that optimizer"
        )


def averaging_lines(plan: Plan) -> Iterator[str]:
    """What of the weights is averaged, for the table of a plan."""
    ema = plan.recipe.get("training.ema")
    if ema is not None:
        steps = plan.total_steps - plan.first_step
        last = min(ema, steps / (9 + steps))
        reached = "" if last == ema else f", which grows to {last:.3g} by the last step"
        yield f"of the weights over steps (EMA), decay {ema:g}{reached}; it is what is validated and saved"
