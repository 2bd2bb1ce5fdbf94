"""What a plan says of blended images, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ft.config.training import TrainingConfig
from ft.errors import FtError

if TYPE_CHECKING:
    from ft.plan.records import CachePlan, Plan


def check_blending(training: TrainingConfig, optimizer: str, cache: CachePlan) -> None:
    """Raise FtError where features are to be blended that there are not, or in steps that nobody takes."""
    if not training.manifold_mixup:
        return
    if training.fits_heads:
        raise FtError(
            f"--manifold-mixup blends in steps, and --optimizer {optimizer} fits heads without; leave it out, or say "
            "`manifold_mixup: 0` in a phase of that optimizer"
        )
    if training.mixup or training.cutmix:
        other = "--mixup" if training.mixup else "--cutmix"
        raise FtError(
            f"{other} blends images, and --manifold-mixup what is computed of them once, which then cannot be; leave "
            "one of them out"
        )
    if cache.keeps != "features":
        raise FtError(
            "--manifold-mixup blends what leaves the frozen prefix, where it is computed once, and nothing is: "
            f"{cache.reason}. Use --mixup, which blends images"
        )


def blending_lines(plan: Plan) -> Iterator[str]:
    """How images, or what is computed of them once, are blended, for the table of a plan."""
    mixup, cutmix, manifold = (plan.recipe.get(f"training.{name}") for name in ("mixup", "cutmix", "manifold_mixup"))
    blends = [f"mixup, shares from Beta({mixup:g}, {mixup:g})"] if mixup else []
    blends += [f"CutMix, areas from Beta({cutmix:g}, {cutmix:g})"] if cutmix else []
    if blends:
        yield "images in pairs: " + ", or ".join(blends) + (", each in half of the steps" if len(blends) > 1 else "")
    if manifold:
        yield (
            f"pairs at the cut (manifold mixup), not images: shares from Beta({manifold:g}, {manifold:g}); what lies "
            "before the cut is computed once"
        )
