"""What a plan says of averages of weights, and which it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ft.config.training import TrainingConfig
from ft.errors import FtError
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.plan.records import Plan

FLAGS = ("ema", "swa", "soup")


def check_averaging(training: TrainingConfig, optimizer: str, timed: bool) -> None:
    """Raise FtError for an average that cannot be, with the flag that asks for it; a run that is `timed` may leave its
    last epochs out."""
    asked = [name for name in FLAGS if getattr(training, name) is not None]
    if training.fits_heads and asked:
        steps = "takes none" if training.solves else "takes them with many heads at once"
        nulls = ", ".join(f"{name}: null" for name in asked)
        raise FtError(
            f"--{asked[0]} averages weights over steps, and --optimizer {optimizer} {steps}; leave it out, or say "
            f"`{nulls}` in a phase of that optimizer"
        )
    if training.swa is not None and len(asked) > 1:
        other = asked[0] if asked[0] != "swa" else asked[1]
        raise FtError(f"--swa and --{other} are two ways to average the same weights; leave one of them out")
    if training.swa is not None and (training.patience is not None or timed):
        cutting = "patience" if training.patience is not None else "time-budget"
        raise FtError(
            f"--swa {training.swa} averages the last {training.swa} epochs, and --{cutting} may leave them out; use "
            f"--soup, or no --{cutting}"
        )
    for name, number in (("swa", training.swa), ("soup", training.soup)):
        if number is not None and number > training.passes and not timed:
            said = number_of(training.passes, "epoch")
            raise FtError(f"--{name} {number} averages {number} epochs, and there are {said}; add --epochs {number}")


def averaging_lines(plan: Plan) -> Iterator[str]:
    """What of the weights is averaged, for the table of a plan."""
    ema, swa, soup = (plan.recipe.get(f"training.{name}") for name in FLAGS)
    counts = any(stage.batchnorm_moving for stage in plan.stages)
    anew = "; BatchNorm's statistics are measured anew for it over the training images" if counts else ""
    if ema is not None:
        steps = plan.total_steps - plan.first_step
        last = min(ema, steps / (9 + steps))
        reached = "" if last == ema else f", which grows to {last:.3g} by the last step"
        yield f"of the weights over steps (EMA), decay {ema:g}{reached}; it is what is validated and saved"
    if swa is not None:
        yield (
            f"of the last {swa} epochs (SWA), in which the rates stay at half their peak{anew}; saved if it is better "
            "on the validation images than the best epoch"
        )
    if soup is not None:
        best = min(soup, plan.epochs - plan.place.begins)
        yield (
            f"of those of the {best} best epochs with which it is better on the validation images (greedy soup){anew}; "
            "saved if it is better than the best epoch"
        )
